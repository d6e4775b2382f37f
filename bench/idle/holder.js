// holder.js PORT COUNT FIRST_ADDRESS: opens COUNT connections, to several loopback addresses, and holds them until its
// standard input ends. Prints `open` when all are.
import { connect } from 'node:net';

const [port, count, first] = process.argv.slice(2).map(Number);
const AT_ONCE = 200;
let begun = 0;
let open = 0;

function one() {
  if (begun === count) return;
  // A range of ephemeral ports is used anew for each address of the server.
  const host = `127.0.0.${first + (begun % 2)}`;
  begun++;
  const socket = connect({ port, host });
  socket.on('error', (error) => {
    console.error(error.message);
    process.exit(1);
  });
  socket.on('connect', () => {
    if (++open === count) console.log('open');
    one();
  });
  socket.resume();
}

for (let i = 0; i < AT_ONCE; i++) one();
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
