/**
 * Notifies systemd of the state of the server: sd_notify(3) for units of Type=notify, with its watchdog. Does
 * nothing where systemd does not listen.
 */
import { encodeUnixAddress } from '../os/address.js';
import { closeDescriptor, openUnixDatagram, sendTo } from '../os/socket.js';

/** `@` begins a name in Linux' abstract name space, which has no closing NUL. */
function addressFor(path: string): Buffer {
  if (!path.startsWith('@')) return encodeUnixAddress(path);
  const name = `\0${path.slice(1)}`;
  return encodeUnixAddress(name).subarray(0, FAMILY_BYTES + Buffer.byteLength(name));
}

const FAMILY_BYTES = 2;

export class ServiceNotifier {
  readonly #socket: number;
  readonly #address: Buffer;
  readonly #watchdogMs: number;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  private constructor(path: string, watchdogMs: number) {
    this.#socket = openUnixDatagram();
    this.#address = addressFor(path);
    this.#watchdogMs = watchdogMs;
  }

  /** Removes the variables from the environment: they are meant for this process. */
  static take(environment: NodeJS.ProcessEnv = process.env): ServiceNotifier | undefined {
    const { NOTIFY_SOCKET: path, WATCHDOG_USEC: microseconds, WATCHDOG_PID: pid } = environment;
    for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete environment[name];
    if (path === undefined || path === '') return undefined;
    const isMeant = pid === undefined || pid === String(process.pid);
    return new ServiceNotifier(path, isMeant ? Number(microseconds ?? 0) / 1000 : 0);
  }

  ready(status: string): void {
    this.#send(`READY=1\nMAINPID=${process.pid}\nSTATUS=${status}`);
    if (this.#watchdogMs <= 0) return;
    // Twice within the time systemd waits; a master whose loop stands still sends nothing.
    this.#timer = setInterval(() => this.#send('WATCHDOG=1'), this.#watchdogMs / 2).unref();
  }

  status(status: string): void {
    this.#send(`STATUS=${status}`);
  }

  stopping(): void {
    this.#send('STOPPING=1');
  }

  close(): void {
    clearInterval(this.#timer);
    if (!this.#isClosed) closeDescriptor(this.#socket);
    this.#isClosed = true;
  }

  #send(text: string): void {
    if (this.#isClosed) return;
    try {
      sendTo(this.#socket, Buffer.from(text), this.#address);
    } catch {
      // systemd is restarting itself: it expects nothing then
    }
  }
}
