import { afterEach, describe, expect, it, vi } from 'vitest';
import { collect, STATS, STATUS } from '../helpers/cli-world.js';

const wasTerminal = process.stdout.isTTY;
afterEach(() => {
  process.stdout.isTTY = wasTerminal;
  vi.unstubAllEnvs();
});

type Modules = typeof import('../../src/cli/terminal.js') & typeof import('../../src/cli/commands/status.js');

async function load(isTerminal: boolean, env: Record<string, string | undefined> = {}): Promise<Modules> {
  process.stdout.isTTY = isTerminal;
  const plain = { NO_COLOR: undefined, TERM: 'xterm', FORCE_COLOR: undefined, NODE_DISABLE_COLORS: undefined };
  for (const [name, value] of Object.entries({ ...plain, ...env })) vi.stubEnv(name, value);
  vi.resetModules();
  return { ...(await import('../../src/cli/terminal.js')), ...(await import('../../src/cli/commands/status.js')) };
}

const [GREEN, RED, YELLOW, BOLD, DIM] = [32, 31, 33, 1, 2].map((code) => `\x1b[${code}m`);

describe('colours', () => {
  it('are there on a terminal', async () => {
    const { paint, table, list, isTerminal } = await load(true);
    expect([isTerminal, paint('red', 'x')]).toEqual([true, `${RED}x\x1b[39m`]);
    expect(table(['A'], [[paint('red', '12')], ['x']]).split('\n')).toEqual([
      `${BOLD}A\x1b[22m`,
      `${RED}12\x1b[39m`,
      'x',
    ]);
    expect(table(['A'], [[paint('red', '1')], ['12']]).split('\n')[1]).toBe(` ${RED}1\x1b[39m`); // by what one sees
    expect(list([['a', 'b']])).toBe(`${DIM}a\x1b[22m  b`);
  });

  it.each([
    ['in a pipe', false, {}],
    ['where NO_COLOR is set', true, { NO_COLOR: '1' }],
    ['on a terminal that is dumb', true, { TERM: 'dumb' }],
  ])('are not there %s', async (_title, isTerminal, env) => {
    const { paint } = await load(isTerminal, env);
    expect(paint('red', 'x')).toBe('x');
  });

  it('are there where NO_COLOR is empty, and nobody says which terminal it is', async () => {
    const { paint } = await load(true, { NO_COLOR: '', TERM: undefined });
    expect(paint('red', 'x')).toContain(RED);
  });

  it.each([
    ['running', GREEN],
    ['starting', YELLOW],
    ['shutting down', YELLOW],
    ['degraded', RED],
    ['crash-looping', RED],
  ] as const)('show a server that is %s', async (state, colour) => {
    const { describeStatus } = await load(true);
    const [head] = describeStatus({ ...STATUS, state }, STATS).split('\n');
    expect(head).toContain(`${BOLD}web\x1b[22m  ${colour}${state}\x1b[39m, pid`);
  });
});

it('JSON is for eyes on a terminal, and one line in a pipe', async () => {
  const printed = async (isTerminal: boolean): Promise<string> => {
    const { printJson } = await load(isTerminal);
    const out = collect(process.stdout);
    printJson({ a: 1 });
    out.restore();
    return out.text();
  };
  expect(await printed(true)).toBe('{\n  "a": 1\n}\n');
  expect(await printed(false)).toBe('{"a":1}\n');
});
