// Holds one vitest, and tells its parent process which of the asked test files pass. Runs in a copy of the tree.
import { join } from 'node:path';
import { createVitest } from 'vitest/node';

await serveRuns();

async function serveRuns() {
  const options = { project: ['pure', 'units'], watch: false, bail: 1, maxWorkers: 1, reporters: [{}], cache: false };
  const vitest = await createVitest('test', options, { cacheDir: join(process.cwd(), 'tmp', 'vite') });
  await vitest.standalone();
  const specifications = await vitest.globTestSpecifications();
  process.on('disconnect', () => process.exit());
  process.on('message', async ({ test, changed }) => {
    for (const file of changed) vitest.invalidateFile(join(process.cwd(), file));
    const wanted = specifications.filter(({ moduleId }) => moduleId === join(process.cwd(), test ?? ''));
    process.send(test === undefined ? { outcome: 'passed' } : await outcomeOf(vitest, wanted));
  });
}

async function outcomeOf(vitest, specifications) {
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications(specifications);
  const asked = testModules.filter(({ moduleId }) => specifications.some((one) => one.moduleId === moduleId));
  const passed = asked.length > 0 && asked.every((module) => module.ok());
  if (passed && unhandledErrors.length === 0) return { outcome: 'passed' };
  const errors = [...asked.flatMap(failuresOf), ...unhandledErrors];
  return { outcome: 'failed', why: String(errors[0]?.message ?? 'it did not run').split('\n', 1)[0] };
}

function failuresOf(module) {
  return [...module.errors(), ...[...module.children.allTests('failed')].flatMap((test) => test.result().errors)];
}
