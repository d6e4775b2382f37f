import { CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import { ExitCode } from '../../src/cli/exit.js';
import { withAdviceForPm2 } from '../../src/cli/pm2-words.js';
import { run } from '../helpers/cli-world.js';

describe('a word of PM2', () => {
  it.each([
    [['delete', 'app'], 'delete', 'tswoole stop'],
    [['save'], 'save', 'tswoole systemd'],
    [['start', 'app.js', '-i', '4'], '-i', '--workers'],
    [['start', 'app.js', '-i4'], '-i', '--workers'],
    [['start', 'app.js', '--instances=max'], '--instances', '--workers'],
    [['start', 'app.js', '--max-memory-restart', '300M'], '--max-memory-restart', '--max-memory'],
    [['start', 'app.js', '--no-daemon'], '--no-daemon', 'left out'],
  ])('is refused with what it is here: %j', async (words, word, here) => {
    const { err, failure } = await run(...words);
    expect(failure).toBeInstanceOf(CommanderError);
    expect(err).toMatch(/^error: unknown (command|option) '[^\n]*\n\(PM2's /);
    expect(err).toContain(`(PM2's ${word} is here: `);
    expect(err).toContain(here);
    expect(err).not.toContain('Did you mean');
  });

  it.each(['--workers=max', '--worker-num=0', '--workers=-1'])('counts workers by the cores: %s', async (flag) => {
    const { err } = await run('start', 'app.js', flag);
    expect(err).toContain("(PM2's ");
    expect(err).toContain('is here: left out, as there is a worker for each core.)');
  });

  it.each(['ecosystem.config.js', './deploy/ecosystem.config.cjs'])('is a file of PM2 as well: %s', async (file) => {
    expect((await run('start', file)).failure).toEqual([ExitCode.usage, expect.stringContaining('tswoole init')]);
  });

  it('leaves other errors as they are', () => {
    const unknown = ['stpo', 'constructor', '__proto__'].map((word) => `error: unknown command '${word}'\n`);
    for (const text of [...unknown, "error: missing argument 'id'\n"]) {
      expect(withAdviceForPm2(text)).toBe(text);
    }
  });
});
