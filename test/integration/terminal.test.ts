import { afterEach, describe, expect, it } from 'vitest';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { poll } from '../helpers/server-process.js';
import { HAS_TMUX, Terminal } from '../helpers/terminal.js';

let terminal: Terminal | undefined;

afterEach(async () => {
  terminal?.close();
  terminal = undefined;
  await endCommandLines();
});

describe.skipIf(!HAS_TMUX)('in a terminal', () => {
  it('a daemon is started, looked at, reloaded, scaled, watched and stopped', async () => {
    const line = new CommandLine();
    terminal = new Terminal(line.folder, line.env);
    terminal.type('tswoole start operated.js --daemon --max-worker-num 8 --log-file it.log');
    await terminal.sees(/operated runs in the background as process \d+, listening on/);
    terminal.type('clear; tswoole status');
    await terminal.sees(/workers +2 \(2 idle\)/);
    terminal.type('clear; tswoole reload');
    await terminal.sees('Workers were replaced: generation 1.');
    terminal.type('clear; tswoole scale 8');
    await terminal.sees('There are 8 workers.');

    terminal.type('clear; tswoole top');
    const screen = await terminal.sees(/worker 7 +\d+ +\d+% +[\d.]+ MiB +idle/);
    expect(screen).toMatch(/PROCESS +PID +CPU +MEMORY +STATE +CONN +PKT\/S +P50 +P99 +MAX +LOOP +RST/);
    expect(screen).toMatch(/^master +\d+/m);
    expect(screen).toContain('q quit');
    terminal.press('s');
    await terminal.sees('sort (cpu)');
    terminal.press('r');
    await terminal.sees('generation 2');
    terminal.press('q');
    await terminal.sees(/^[#$] *$/m);
    expect(terminal.screen).not.toContain('q quit');

    terminal.type('clear; tswoole logs -f');
    await terminal.sees('reload: done');
    terminal.press('C-c');
    terminal.type('clear; tswoole stop; echo "exit $?"');
    await terminal.sees(/has ended\.\s+exit 0/);
    terminal.type('clear; tswoole status; echo "exit $?"');
    await terminal.sees('exit 3');
    await poll('only the terminal is left', () => line.tree().every(({ title }) => !title.includes('tswoole')));
  });

  it('a server in the foreground says what it does in lines of text, and ends with Ctrl+C', async () => {
    const line = new CommandLine();
    terminal = new Terminal(line.folder, line.env);
    terminal.type('tswoole start operated.js --log-level debug; echo "exit $?"');
    await terminal.sees(/"event":"up"/);
    terminal.press('C-c');
    const screen = await terminal.sees('exit 0');
    expect(screen).toMatch(/info +master\[\d+\] shutting down/);
    expect(line.tree().filter(({ title }) => title.includes('tswoole:'))).toEqual([]);
  });

  it('top ends by itself with the server', async () => {
    const line = new CommandLine();
    const { pid } = await line.daemon();
    terminal = new Terminal(line.folder, line.env);
    terminal.type('tswoole top');
    await terminal.sees(/worker 1 +\d+/);
    process.kill(pid, 'SIGTERM');
    await terminal.sees('has ended');
  });
});
