import { Server } from '../../dist/index.js';

const server = new Server({ port: 0, workerNum: 8, admin: 0, control: false, logLevel: 'info', logFormat: 'json' });
server.on('receive', () => {
  for (;;); // its worker answers nobody any more
});
await server.start();
console.log(JSON.stringify({ port: server.port }));
