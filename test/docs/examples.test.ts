/** What a reader may copy from README and docs: every example compiles, every command is one that there is. */
import { readFileSync } from 'node:fs';
import { CommanderError } from 'commander';
import { afterAll, describe, expect, it } from 'vitest';
import { withExplicitValues } from '../../src/cli/option-flags.js';
import { createProgram } from '../../src/cli/program.js';
import { Consumer } from '../helpers/consumer.js';
import { type Block, blocksOf, commandsOf, pages } from '../helpers/pages.js';

const consumer = new Consumer([
  '@types/node',
  '@types/express',
  '@types/koa',
  '@types/ws',
  'express',
  'fastify',
  'hono',
  'h3',
  'koa',
  'ws',
]);
/** Of packages that this checkout does not have, what examples use; and a file of the user's that they import. */
const ELSEWHERE = `
declare module '@opentelemetry/auto-instrumentations-node' { export function getNodeAutoInstrumentations(): object }
declare module '@opentelemetry/sdk-node' {
  export class NodeSDK {
    constructor(options: { instrumentations: object[] });
    start(): void;
  }
}
`;
consumer.write('elsewhere.d.ts', ELSEWHERE);
consumer.write('telemetry.d.mts', 'export {};');
afterAll(() => consumer.remove());

const blocks = pages.flatMap(blocksOf);
const inLanguage = (...languages: string[]): Block[] => blocks.filter(({ language }) => languages.includes(language));

describe('examples', () => {
  it('pass tsc --strict as they stand, against the types of the package', () => {
    const examples = inLanguage('js', 'ts', 'mjs', 'javascript', 'typescript');
    expect(examples.length).toBeGreaterThan(10);
    const names = examples.map(({ page, line, prelude, text }) => {
      const name = `${page.replaceAll('/', '_')}_${line}.ts`;
      // On the line it has in its page. The prelude is before it, and the file a module whatever it has.
      const before = '\n'.repeat(line - 1);
      consumer.write(name, `export {};${prelude}${before}\n${text}`);
      return name;
    });
    const options = ['--strict', '--module', 'nodenext', '--target', 'es2022', '--types', 'node'];
    expect(consumer.compile([...options, 'elsewhere.d.ts', ...names])).toEqual([]);
  });

  it('of JSON are JSON', () => {
    for (const { page, line, text } of inLanguage('json')) {
      expect(() => JSON.parse(text) as unknown, `${page}:${line}`).not.toThrow();
    }
  });
});

describe('commands', () => {
  const commands = pages.flatMap(commandsOf);

  it.each(
    commands
      .filter(({ words }) => words[0] === 'tswoole' && words.length > 1)
      .map(({ page, line, words }) => [words.join(' '), `${page}:${line}`, words.slice(1)] as const),
  )('%s (%s) is taken by the command line', async (_command, _at, words) => {
    expect(await refusalOf(words)).toBe('');
  });

  it('of npm are scripts of the package', () => {
    const { scripts } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = commands.filter(
      ({ words }) => words[0] === 'npm' && (words.length > 2 ? words[1] === 'run' : words[1] === 'start'),
    );
    for (const { page, line, words } of named) {
      expect(Object.keys(scripts), `${page}:${line}`).toContain(words[1] === 'run' ? words[2] : words[1]);
    }
  });

  it('that are not there are found', async () => {
    expect(await refusalOf(['strat', 'app.js'])).toContain('unknown command');
    expect(await refusalOf(['start', 'app.js', '--deamon'])).toContain('unknown option');
    expect(await refusalOf(['start', 'app.js', '--worker-num', 'four'])).toContain('--worker-num');
    expect(await refusalOf(['scale', '8', '9', '10'])).toContain('too many arguments');
  });
});

/** What the command line says to these words before it does anything; '' where it takes them. */
async function refusalOf(words: readonly string[]): Promise<string> {
  const program = createProgram();
  const errors: string[] = [];
  const silence = (command: typeof program): void => {
    command.configureOutput({ writeErr: (text) => errors.push(text), writeOut: () => {} });
    command.exitOverride();
    if (command.commands.length === 0) command.action(() => {});
    for (const sub of command.commands) silence(sub);
  };
  silence(program);
  try {
    await program.parseAsync(withExplicitValues(words), { from: 'user' });
    return '';
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // A text may name a command without what it acts upon.
    const isShort = error.code === 'commander.missingArgument' || error.exitCode === 0;
    return isShort ? '' : errors.join('') || error.message;
  }
}
