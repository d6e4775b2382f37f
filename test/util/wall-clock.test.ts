/** Durations are told by the monotonic clock, which nobody sets; the time of day is asked for where one is shown. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const SOURCES = fileURLToPath(new URL('../../src', import.meta.url));
const ASKS_FOR_THE_TIME_OF_DAY = /\bDate\.now\b|\bnew Date\(\s*\)|\bDate\(\s*\)|\btimeOrigin\b/;

/** Who may ask, and what for. */
const allowed: Readonly<Record<string, string>> = {
  'access-log/access-log.ts': 'the time of a line',
  'access-log/line-batch.ts': 'the time of a line',
  'cli/commands/connections.ts': 'the age of a connection, from the time of day that the server has told just now',
  'cli/commands/status.ts': 'how long it is until a time of day that the server has told just now',
  'cli/commands/profile.ts': 'the name of a file',
  'http/answer-head.ts': 'when the second of the Date field is over',
  'cluster/jobs/bull.ts': 'when a schedule ticks next',
  'cluster/jobs/schedule.ts': 'when a schedule ticks next',
  'control/stats.ts': 'a comment',
  'http/handlers.ts': 'what the times of files are compared with',
  'http/send-file.ts': 'the time of a file whose size only reading tells',
  'http/upload-sweep.ts': 'what the times of files are compared with',
  'master/crash-watch.ts': 'when a process has ended, and is started next, as status shows it',
  'master/cron-reload.ts': 'whether the time of a schedule has come',
  'master/log-rotator.ts': 'days and hours of the log, and the names of its files',
  'memory/wall-time.ts': 'the time of day of what is shown',
  'os/memory.ts': 'the name of a file',
  'protocol/http/date.ts': 'the Date field, and the century of a year with two digits',
  'protocol/http/file-answer.ts': 'what the times of files are compared with',
  'reactor/protocols/http1/files.ts': 'what the times of files are compared with',
  'server/server-log.ts': 'the time of a line',
  'server/start-master.ts': 'the start as the note in the run directory shows it',
  'shared/table/table.ts': 'when a row of a file expires: the monotonic clock begins anew with the machine',
  'util/clock.ts': 'its comment',
  'util/log-file.ts': 'the name of a file, or the time of a line',
  'util/log-output.ts': 'the time of a line',
};

it('is asked for by these files only, each of which shows it or compares it with one', () => {
  const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  const asking = files.filter((name) => ASKS_FOR_THE_TIME_OF_DAY.test(readFileSync(join(SOURCES, name), 'utf8')));
  expect(asking.sort()).toEqual(Object.keys(allowed).sort());
});
