/** What stands in a folder: the app that `tswoole init` writes a config for. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, extname, join } from 'node:path';
import { BYTE_ORDER_MARK } from '../util/json-failure.js';
import { SCRIPT_ENDINGS, whyNoScript } from './is-script.js';

/** By the package that an app depends on; the first one found counts, as some depend on later ones. */
const FRAMEWORKS: readonly (readonly [dependency: string, name: string])[] = [
  ['next', 'Next'],
  ['@nestjs/core', 'Nest'],
  ['fastify', 'Fastify'],
  ['hono', 'Hono'],
  ['express', 'Express'],
  ['koa', 'Koa'],
  ['h3', 'H3'],
];

/** What a build of Next with `output: 'standalone'` makes. */
const NEXT_STANDALONE = '.next/standalone/server.js';
const NEST_BUILT = 'dist/main.js';

const FOLDERS = ['', 'src/', 'dist/'];
const NAMES = ['server', 'app', 'index', 'main'];
/** Folders that a build fills: a script in them may not be there yet. */
const BUILT = /^(?:\.\/)?(?:dist|build|out|\.next|\.output)\//;

export interface Project {
  /** Fit to be the name of an app. */
  readonly name: string;
  /** `Express`; '': none that is known. */
  readonly framework: string;
  /** Relative to the folder; undefined: none was found. */
  readonly script: string | undefined;
  /** Where it was found: for people. */
  readonly foundBy: string;
  /** A build has to make the script first. */
  readonly isMissing: boolean;
  /** The script is an app that has to be served, and not a server of tswoole. */
  readonly http: boolean;
  /** The module of Node by which the app makes a server with TLS or HTTP/2 itself, as it seems: `https`; '': none. */
  readonly encryptsBy: string;
  readonly isModule: boolean;
  readonly hasTypeScript: boolean;
  readonly hasEnvFile: boolean;
  /** `import 'tswoole'` works there. */
  readonly hasTswoole: boolean;
}

interface Manifest {
  readonly name?: unknown;
  readonly type?: unknown;
  readonly main?: unknown;
  readonly scripts?: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, unknown>>;
}

/** @param given the script, where a person names it @throws SyntaxError when package.json is not JSON */
export function lookAtProject(folder: string, given?: string): Project {
  const manifest = manifestIn(folder);
  const dependencies = Object.keys(manifest.dependencies ?? {});
  const framework = FRAMEWORKS.find(([dependency]) => dependencies.includes(dependency))?.[1] ?? '';
  const [script, foundBy] = given === undefined ? findScript(folder, manifest, framework) : [given, 'as given'];
  const isMissing = script !== undefined && !isFile(join(folder, script));
  const source = script === undefined || isMissing ? undefined : readFileSync(join(folder, script), 'utf8');
  const http = source === undefined ? script === undefined || framework !== '' : !MAKES_SERVER.test(source);
  return {
    ...{ name: nameFor(manifest.name, folder), framework, script, foundBy, isMissing, http },
    encryptsBy: http && source !== undefined ? moduleThatEncrypts(source, framework) : '',
    isModule: manifest.type === 'module',
    hasTypeScript: existsSync(join(folder, 'tsconfig.json')),
    hasEnvFile: isFile(join(folder, '.env')),
    hasTswoole: canRequire(folder),
  };
}

function manifestIn(folder: string): Manifest {
  const path = join(folder, 'package.json');
  if (!existsSync(path)) return {};
  const value: unknown = JSON.parse(readFileSync(path, 'utf8').replace(BYTE_ORDER_MARK, ''));
  return typeof value === 'object' && value !== null ? value : {};
}

/** Without the scope of the package, and only with characters that a name may have. */
function nameFor(packageName: unknown, folder: string): string {
  const given = typeof packageName === 'string' ? packageName : basename(folder);
  const plain = given
    .replace(/^@[^/]*\//, '')
    .replaceAll(/[^\w.-]/g, '-')
    .replace(/^[^\w]+/, '')
    .slice(0, 64);
  return plain === '' || /^\d+$/.test(plain) ? `app${plain}` : plain;
}

function findScript(
  folder: string,
  { scripts, main }: Manifest,
  framework: string,
): [script: string | undefined, foundBy: string] {
  if (framework === 'Next') return [NEXT_STANDALONE, "what a build with output: 'standalone' makes"];
  for (const name of ['start:prod', 'start', 'serve', 'dev']) {
    const command = scripts?.[name];
    const script = typeof command === 'string' ? scriptOfCommand(folder, command) : undefined;
    if (script !== undefined) return [script, `script "${name}" of package.json: ${String(command)}`];
  }
  if (typeof main === 'string' && isFile(join(folder, main)) && whyNoScript(join(folder, main)) === undefined)
    return [main, '"main" of package.json'];
  if (framework === 'Nest' && existsSync(join(folder, 'src/main.ts')))
    return [NEST_BUILT, 'what a build of Nest makes'];
  const usual = FOLDERS.flatMap((part) =>
    NAMES.flatMap((name) => SCRIPT_ENDINGS.map((ending) => part + name + ending)),
  );
  return [usual.find((path) => isFile(join(folder, path))), 'by its name'];
}

/** The file in `node --enable-source-maps dist/main` or `NODE_ENV=production tsx server.ts`. */
function scriptOfCommand(folder: string, command: string): string | undefined {
  const words = command.split(/\s+/);
  const runner = words.findIndex((word) => /^(?:node|tsx|ts-node|nodemon|tswoole)$/.test(word));
  if (runner < 0) return undefined;
  for (const word of words.slice(runner + 1)) {
    if (/^(?:&&|\|\||[;|])/.test(word)) return undefined;
    const script = SCRIPT_ENDINGS.includes(extname(word)) ? word : `${word}.js`;
    const isThere = isFile(join(folder, script));
    if (!word.startsWith('-') && (isThere || BUILT.test(script))) return script;
  }
  return undefined;
}

/** A script that imports tswoole makes its server itself. */
const MAKES_SERVER = /(?:from\s*|require\(\s*|import\s*)['"]tswoole['"]/;

/** `import NAMES from 'node:https'`, `const NAMES = require('https')`, and what is called of it at once. */
const TAKES_MODULE =
  /(?:\bimport\s+([\w*{}\s,$]+?)\s+from\s*|(?:\b(?:const|let|var|import)\s+([\w{}\s,:$]+?)\s*=\s*)?(?:\bawait\s+import|\brequire)\s*\(\s*)['"](?:node:)?(https|http2|tls)['"]\)?(?:\s*\.\s*(\w+))?/g;
const MAKER = /\bcreate(?:Secure)?Server\b/;

/** Options by which these make such a server for the app. */
const OPTIONS_OF: Readonly<Record<string, readonly (readonly [option: RegExp, module: string])[]>> = {
  Fastify: [
    [/\bhttps\s*:(?!\s*(?:null\b|false\b|undefined\b|['"`]))/, 'https'],
    [/\bhttp2\s*:\s*true\b/, 'http2'],
  ],
  Nest: [[/\bhttpsOptions\b/, 'https']],
};

/** What asks others by TLS, and makes no server of it, is not meant. */
function moduleThatEncrypts(source: string, framework: string): string {
  const code = source.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  const byOption = OPTIONS_OF[framework]?.find(([option]) => option.test(code));
  if (byOption !== undefined) return byOption[1];
  for (const [, imported, required, module = '', called = ''] of code.matchAll(TAKES_MODULE)) {
    const names = imported ?? required ?? '';
    const whole = /^(?:\*\s*as\s+)?([\w$]+)/.exec(names)?.[1];
    const making = `(?<![\\w$])${whole?.replaceAll('$', '\\$&')}\\s*\\.\\s*${MAKER.source}`;
    if ((whole !== undefined && new RegExp(making).test(code)) || MAKER.test(names) || MAKER.test(called))
      return module;
  }
  return '';
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

function canRequire(folder: string): boolean {
  try {
    createRequire(join(folder, 'package.json')).resolve('tswoole');
    return true;
  } catch {
    return false;
  }
}
