// The smallest server: it sends back what a client sends. Start it with `npm start`.
import { Server } from 'tswoole';

const server = new Server({ host: '127.0.0.1', port: Number(process.env.PORT ?? 9501) });

// Runs in a worker, for each piece of data that arrives.
server.on('receive', (conn, data) => {
  conn.send(data);
});

// Every process of the server runs this file from the top. start() gives each its role and resolves only in the master,
// when all workers are ready; so the code after it runs once.
await server.start();

const { host, port, masterPid, managerPid, workers, options } = server;
const lastId = workers.length - 1;

console.log(`echo server listening on ${host}:${port}

master  pid ${masterPid}, ${options.reactorNum} reactor thread${options.reactorNum === 1 ? '' : 's'}
└─ manager  pid ${managerPid}
${workers.map(({ id, pid, state }) => `   ${id === lastId ? '└' : '├'}─ worker ${id}  pid ${pid}, ${state}`).join('\n')}

try     echo hello | nc -N ${host} ${port}
reload  kill -USR1 ${masterPid}
stop    Ctrl-C, or kill ${masterPid}`);
