/** Says what is at an address that does not behave as the engine does. */
import { connect } from 'node:net';

/** What servers say first, or to what no one of them takes for more than a question. */
const KNOWN: readonly { readonly name: string; readonly begins: readonly string[] }[] = [
  { name: 'a NATS server', begins: ['INFO {'] },
  { name: 'a Redis', begins: ['+PONG', '-NOAUTH', '-DENIED', '-LOADING', '-MASTERDOWN', '-ERR'] },
  { name: 'an HTTP server', begins: ['HTTP/'] },
  // An alert.
  { name: 'a server with TLS', begins: ['\x15\x03'] },
];
const QUESTION = 'PING\r\n\r\n';
const LONGEST_MS = 500;

export interface Place {
  readonly host: string;
  readonly port: number;
}

/** Asks without TLS. @returns undefined: there is no telling, or there is no time */
export function whatListens(place: Place, abort: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(place, () => socket.write(QUESTION));
    const stop = () => socket.destroy();
    let said = '';
    socket.setTimeout(LONGEST_MS, stop);
    socket.once('data', (data) => {
      said = data.toString('latin1');
      stop();
    });
    socket.on('error', () => {});
    socket.once('close', () => {
      abort.removeEventListener('abort', stop);
      resolve(KNOWN.find(({ begins }) => begins.some((start) => said.startsWith(start)))?.name);
    });
    if (abort.aborted) stop();
    else abort.addEventListener('abort', stop, { once: true });
  });
}
