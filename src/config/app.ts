/** An app of a config file, checked: what a command needs to start it and to find it. */

/** Settings, checked. Options are texts, as on the command line. */
export interface Settings {
  readonly http?: boolean;
  readonly cwd?: string;
  readonly env: Readonly<Record<string, string>>;
  readonly envFile?: string;
  readonly args?: readonly string[];
  readonly nodeArgs?: readonly string[];
  readonly options: Readonly<Record<string, string>>;
}

/** An app as the file has it. */
export interface CheckedApp {
  readonly name: string;
  readonly script: string;
  readonly settings: Settings;
  readonly environments: ReadonlyMap<string, Settings>;
}

/** A config file, checked. */
export interface CheckedConfig {
  /** Absolute. */
  readonly file: string;
  readonly apps: readonly CheckedApp[];
}

/** An app for one environment: paths are absolute. */
export interface App {
  readonly name: string;
  readonly script: string;
  readonly http: boolean;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** '': none. */
  readonly envFile: string;
  readonly args: readonly string[];
  readonly nodeArgs: readonly string[];
  /** By name, as texts; paths in them are relative to `cwd`. */
  readonly options: Readonly<Record<string, string>>;
}
