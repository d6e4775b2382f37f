// Datagrams: a small store. `set KEY VALUE`, `get KEY`, `time`. All datagrams of one sender go to one worker, and workers
// share no memory, so each sender sees only the store of its worker.
import { Server } from 'tswoole';

const server = new Server({ type: 'udp', port: Number(process.env.PORT ?? 9504) });
const store = new Map();

const commands = {
  set: ({ address, port }, key, ...words) => {
    store.set(`${address}:${port} ${key}`, words.join(' '));
    return 'ok';
  },
  get: ({ address, port }, key) => store.get(`${address}:${port} ${key}`) ?? 'nothing',
  time: () => new Date().toISOString(),
};

server.on('packet', (data, peer) => {
  const [name, ...words] = data.toString().trim().split(' ');
  const answer = Object.hasOwn(commands, name)
    ? commands[name](peer, ...words)
    : `${Object.keys(commands).join(', ')}?`;
  peer.send(`${answer}\n`);
});

await server.start();
console.log(`UDP server listening on ${server.host}:${server.port}
try  echo time | nc -u -w1 ${server.host} ${server.port}`);
