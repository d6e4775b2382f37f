// node host.js JSON: makes a store, starts the workers that use it, and tells what they did. A session of its own, so that
// the CPU time of the store's own processes is counted too.
import { fork } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const line = () => lines.next();
const settings = JSON.parse(process.argv[2]);
const store = await import(`./stores/${settings.file}`);
const { descriptor = 'ignore', serve, end } = await store.host(settings);

const children = Array.from({ length: settings.processes }, () => {
  const stdio = ['ignore', 'inherit', 'inherit', descriptor, 'ipc'];
  const child = fork(fileURLToPath(new URL('worker.js', import.meta.url)), [process.argv[2]], { stdio });
  serve?.(child);
  child.once('exit', (code) => {
    if (code !== 0) process.exit(1);
  });
  return child;
});

await all('ready');
console.log('measuring');
await line();
for (const child of children) child.send('go');
console.log(JSON.stringify({ each: await all('done') }));
await line(); // until the CPU time of all has been read
const ended = children.map((child) => new Promise((resolve) => child.once('exit', resolve)));
for (const child of children) child.send('end');
await Promise.all(ended);
await end?.();
process.exit();

function all(type) {
  return Promise.all(
    children.map(
      (child) =>
        new Promise((resolve) => {
          child.on('message', (message) => message.type === type && resolve(message));
        }),
    ),
  );
}
