/** The first file of a reactor thread. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { AccessLog } from '../access-log/access-log.js';
import { CheckIn } from '../memory/check-in.js';
import { ProcessRecord } from '../memory/process-board.js';
import { Region } from '../memory/region.js';
import { createBlockingPoller } from '../os/create-poller.js';
import type { Poller } from '../os/poller.js';
import { runOnCore } from '../os/privileges.js';
import { setThreadName } from '../os/process.js';
import { assembleReactor, loadModules } from './assemble.js';
import { strategyOf } from './dispatch/index.js';
import type { Reactor } from './reactor.js';
import { Refusals } from './refusals.js';
import type { FromReactor, ReactorThreadData, ToReactor } from './thread-message.js';

const data = workerData as ReactorThreadData;
const port = portToMaster();
const exitFlag = new Int32Array(data.exitFlag);
const refusals = new Refusals((refusal) => send({ type: 'refused', ...refusal }));
const region = Region.open(data.region);
let poller: Poller | undefined;
/** From `run` on; messages are taken only then. */
let reactor: Reactor;
let accessLog: AccessLog | undefined;

setThreadName(`reactor ${data.id}`);
if (data.core >= 0) runOnCore(data.core);
queueMicrotask(() => void run());

/**
 * A function, as the bundle is CommonJS, which has no `await` at its top. Called when this file is evaluated: what the build
 * puts off, such as the access log, takes from it what it needs.
 */
async function run(): Promise<void> {
  const checkIn = new CheckIn({
    record: ProcessRecord.ofReactor(region, data.id),
    isThread: true,
    blockedMs: () => poller?.blockedMs ?? 0,
  });
  const { accessLog: settings } = data.options;
  accessLog = settings === null ? undefined : AccessLog.open(settings, () => region.logEpoch);
  reactor = assembleReactor({
    id: data.id,
    region,
    bells: data.bells,
    options: data.options,
    strategy: strategyOf(data.dispatchMode),
    takesDatagrams: data.id === 0,
    modules: await loadModules(data.options.ports, data.dispatchMode, region),
    createPoller: (handler) => {
      poller = createBlockingPoller(data.backend, {
        ready: (token, descriptor, events) => handler.ready(token, descriptor, events),
        turnEnd: () => (endsAtOnce() ? stopPolling() : handler.turnEnd()),
      });
      return poller;
    },
    onRefused: (sessionId, code, message, client) => refusals.add(sessionId, code, message, client),
    onOverload: (overload) => send({ type: 'overload', overload }),
    onBrokenSender: (worker) => send({ type: 'brokenSender', worker }),
    accessLog,
  });
  port.on('message', onMessage);
  checkIn.start();
  if (reactor.tlsFellBack !== undefined) send({ type: 'tlsFellBack', why: reactor.tlsFellBack });
  send({ type: 'ready', poller: data.backend });
}

function portToMaster(): MessagePort {
  if (parentPort === null) throw new Error('this file is started by the master as a reactor thread');
  return parentPort;
}

function send(message: FromReactor): void {
  port.postMessage(message);
}

/** When the whole process exits at once, the poll handle must be closed first: a busy one would abort the process. */
function endsAtOnce(): boolean {
  return Atomics.load(exitFlag, 0) === 1;
}

function stopPolling(): void {
  reactor.stop();
  accessLog?.close();
  Atomics.store(exitFlag, 1, 1);
  Atomics.notify(exitFlag, 1);
}

function renewTls(): void {
  try {
    reactor.renewTls();
  } catch (error) {
    return send({ type: 'notRenewed', why: error instanceof Error ? error.message : String(error) });
  }
  send({ type: 'renewed' });
}

function onMessage(message: ToReactor): void {
  switch (message.type) {
    case 'quiesce':
      return reactor.quiesce(() => send({ type: 'quiet' }));
    case 'closeAll':
      return reactor.closeAll(message.deadlineMs, () => send({ type: 'closed' }));
    case 'renewTls':
      return renewTls();
    case 'useWorkers':
      return reactor.useWorkers(message.workerNum);
    case 'withhold':
      return reactor.withhold(message.from, () => send({ type: 'withheld' }));
    case 'rebind':
      return reactor.rebind(() => send({ type: 'rebound' }));
    case 'stop':
      stopPolling();
      port.close();
  }
}
