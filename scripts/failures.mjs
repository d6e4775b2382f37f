// Prints "PASSED FAILED" of a report that vitest wrote as JSON to standard output, and what failed to standard error: the
// file, the name and the beginning of each error, so that a long run's output says it in one place.
//
//   node scripts/failures.mjs REPORT TITLE
//   node scripts/failures.mjs REPORT           the files in which something failed, one per line

import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

const ERROR_LINES = 12;
const LINE_CHARACTERS = 240;
const [report, title] = process.argv.slice(2);
const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(report, 'utf8'));

for (const file of testResults) {
  if (title === undefined) {
    if (file.status === 'failed') console.log(relative(process.cwd(), file.name));
    continue;
  }
  const failed = file.assertionResults.filter((test) => test.status === 'failed');
  // A file that could not be loaded, or whose hooks failed, has an error of its own.
  if (failed.length === 0 && file.status === 'failed') tell(file.name, '', file.message);
  for (const test of failed) tell(file.name, test.fullName, test.failureMessages.join('\n'));
}
if (title !== undefined) console.log(numPassedTests, numFailedTests);

function tell(path, name, message) {
  console.error(`${title}: ${relative(process.cwd(), path)} > ${name}`);
  for (const line of message.split('\n').slice(0, ERROR_LINES)) console.error(`    ${line.slice(0, LINE_CHARACTERS)}`);
}
