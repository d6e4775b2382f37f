/** What `tswoole.config.ts` says; docs/config.md describes each key. */
import type { ServerOptions } from '../options/index.js';

/** The settings of an app: how its script is started, and every option of the server. */
export interface AppSettings extends ServerOptions {
  /** The script is an app of Express, Fastify, Hono, … and not a server of tswoole: as `tswoole start --http`. Default: false. */
  readonly http?: boolean | undefined;
  /** The folder the app runs in, relative to the folder of the config file. Default: that folder. */
  readonly cwd?: string | undefined;
  /** Variables of the app's environment. They go before those of the shell. */
  readonly env?: Readonly<Record<string, string | number | boolean>> | undefined;
  /**
   * A file of variables, `NAME=value` per line, as Node's own `--env-file` reads it; relative to `cwd`. Variables of the shell
   * and those of `env` go before it. A file that is not there stops the start.
   */
  readonly envFile?: string | undefined;
  /** Arguments of the script. */
  readonly args?: readonly string[] | undefined;
  /** Arguments of Node, such as `--max-old-space-size=512`. Paths in them are relative to `cwd`. */
  readonly nodeArgs?: readonly string[] | undefined;
}

/** One app: a script with its settings. */
export interface AppConfig extends AppSettings {
  /**
   * The name by which commands find the app: `tswoole reload NAME`. At most 64 letters, digits, `_`, `-`, `.` and `:`; not a
   * number alone, which is a pid.
   */
  readonly name: string;
  /** The file that makes a `Server` and calls its `start()`, or with `http` one that exports an app; relative to `cwd`. */
  readonly script: string;
  /** Settings of one place, such as `production`, by name: `tswoole start --env production` puts them over the others. */
  readonly environments?: Readonly<Record<string, AppSettings>> | undefined;
}

/** Several apps. */
export interface AppsConfig {
  /** In the order in which they are started. Each has a name of its own. */
  readonly apps: readonly AppConfig[];
}

/** What a config file exports: one app, or several. */
export type Config = AppConfig | AppsConfig;

/**
 * The config as it is, for an editor that knows the keys: `export default defineConfig({ name: 'api', script: 'server.js' })`.
 * It is checked when a command reads the file.
 */
export function defineConfig(config: Config): Config {
  return config;
}
