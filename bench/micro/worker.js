// A worker on the shared rings of a server without its processes: takes 64 bytes (raw) or a GET (http) and answers through
// its outbox: by the ring, or (http-direct) straight to a reactor in its thread, as BASE mode does. Prints ns per frame.
import { HEAD, loaderOf, report, shape } from './measure.js';

const [, , tree, kind] = process.argv;
const names = [
  ...['http/http-requests', 'ipc/frame', 'ipc/frames/http', 'ipc/outbox', 'ipc/ring', 'ipc/sleep', 'memory/boards'],
  ...['memory/connection-table', 'memory/process-board', 'memory/region', 'util/log', 'worker/worker'],
];
const its = await loaderOf(tree)(names);
const isHttp = kind !== 'raw';
const CLIENTS = 50;
const WINDOW_BYTES = 1 << 30;
const nothing = () => {};

const region = its.Region.create(shape);
const { layout } = region;
const table = new its.ConnectionTable(region);
const toWorker = new its.RingWriter(region, layout.inbound(0, 0));
const fromWorker = new its.RingReader(region, layout.outbound(0, 0));
let replies = 0;
const direct = () => {
  replies++;
  return true;
};
const link = { ring: new its.RingWriter(region, layout.outbound(0, 0)), waker: { wake: () => false, ring: nothing } };
if (kind === 'http-direct') link.direct = direct;
const limits = { highWatermark: WINDOW_BYTES, limitBytes: WINDOW_BYTES, hearsOfRoom: true };
const outbox = new its.Outbox(table, [link], limits);

const fields = ['content-type', 'text/plain'];
const serve = (exchange) => exchange.respond(200, '', fields, 'Hello, World!');
const handlers = [isHttp ? { serve, http2: nothing, dismiss: nothing, drain: nothing } : undefined];
const portOf = (fd) => table.portIndex(table.slotOf(fd));
const httpParts = { portOf, remote: () => ({}), handlers, gate: undefined };

let onMessage = nothing;
const listen = ({ message }) => {
  onMessage = message;
};
const worker = new its.Worker({
  ...{ id: 0, lane: 0, region, outbox, rings: [new its.RingReader(region, layout.inbound(0, 0))] },
  ...{ reactorWakers: [{ ring: nothing }], bell: { read: -1, write: -1 } },
  sleeper: new its.Sleeper(region.int32, new its.WorkerBoard(region).sleepIndex(0, 0)),
  channel: { listen, send: () => true, flushed: async () => {} },
  callbacks: { ports: [isHttp ? {} : { receive: ({ fd }, data) => outbox.send(fd, data) }] },
  ...{ maxQueuedBytes: 0, countsHandled: false, maxRequest: 0 },
  messaging: { messenger: { wantsTurn: nothing, receive: nothing }, take: () => false, hasWork: false },
  record: its.ProcessRecord.ofPeer(region, 0),
  log: new its.Log({ role: 'bench', level: 'error' }),
  createPoller: () => ({ levelTriggered: false, addReadable: nothing, wakeSoon: nothing, close: nothing }),
  ...{ createConnection: (fd) => ({ fd }), createPeer: nothing, exit: nothing },
  services: [(host) => new its.HttpRequests(host, httpParts)],
});
await worker.boot();
onMessage({ type: 'attach' });

const clients = Array.from({ length: CLIENTS }, (_, slot) => {
  const sessionId = table.nextSessionId(slot);
  const from = { family: 2, address: Buffer.alloc(16), remotePort: 1 };
  table.open(slot, { sessionId, worker: 0, portIndex: 0, descriptor: 100 + slot, now: 1, ...from });
  return sessionId;
});

const GET = 0; // in src/protocol/http/methods.ts
const KEEP_ALIVE = its.RequestBit.keepAlive;
const TARGET = [4, 4 + '/hello'.length];
const packet = Buffer.alloc(64, 'x');

function sendPacket(fd) {
  packet.copy(toWorker.bytes, toWorker.payloadAt);
  toWorker.commit(its.Event.receive, 0, 0, fd, packet.length);
}

function sendRequest(fd) {
  toWorker.putWords(its.firstWordOf(HEAD.length, GET, KEEP_ALIVE), its.secondWordOf(...TARGET));
  HEAD.copy(toWorker.bytes, toWorker.payloadAt + its.REQUEST_PREFIX_BYTES);
  toWorker.commit(its.Event.request, 0, 1, fd, its.REQUEST_PREFIX_BYTES + HEAD.length);
}

const send = isHttp ? sendRequest : sendPacket;
let turns = 0;
report(CLIENTS, () => {
  turns++;
  for (const fd of clients) send(fd);
  toWorker.publish();
  worker.turnEnd();
  for (; fromWorker.available(); fromWorker.advance()) replies++;
  fromWorker.release();
});
if (replies !== turns * CLIENTS) throw new Error(`${replies} replies to ${turns * CLIENTS} frames`);
