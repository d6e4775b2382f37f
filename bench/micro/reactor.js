// The reactor's parts on clients that are functions: each sends 64 bytes (raw) or a GET (http), which reading gives to the
// worker's ring, and gets an echo or an answer out of the other ring. Prints ns per packet and reply.
import { HEAD, loaderOf, report, shape } from './measure.js';

const [, , tree, kind] = process.argv;
const names = [
  ...['ipc/frame', 'ipc/ring', 'memory/address-counters', 'memory/boards', 'memory/connection-table'],
  ...['memory/dead-connections', 'memory/region', 'reactor/connection', 'reactor/connection-slots', 'reactor/context'],
  ...['reactor/dispatch/index', 'reactor/dispatch-view', 'reactor/dispatcher', 'reactor/ending', 'reactor/reading'],
  ...['reactor/inflight-limit', 'reactor/memory-budget', 'reactor/protocols/index', 'reactor/requests'],
  ...['reactor/sending', 'reactor/worker-ring'],
];
const its = await loaderOf(tree)(names);
const isHttp = kind === 'http';
const CLIENTS = 50;
const nothing = () => {};

const packet = isHttp ? HEAD : Buffer.alloc(64, 'x');
const answer = Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\nHello, World!');
let sentBytes = 0;
const transport = {
  ...{ drainsByShortRead: true, isDirect: true, canHandOff: true, queuedBytes: () => 0, rearm: nothing },
  receive: (_connection, target, at) => packet.copy(target, at),
  send: (_connection, _source, _at, _address, length) => {
    sentBytes += length;
    return length;
  },
};

const httpOptions = {
  ...{ bodyLimit: 1 << 20, requestLineLimit: 8192, headerLimit: 16_384, headerCountLimit: 100, headersTimeoutMs: 0 },
  ...{ requestTimeoutMs: 0, minBodyBytesPerSecond: 0, keepAliveTimeoutMs: 0, maxConcurrency: 0, http2: true },
  staticFiles: [],
};
const port = {
  ...{ sendBufferSize: 1 << 20, highWatermark: 1 << 18, lowWatermark: 1 << 16, noDelay: false, keepAlive: false },
  ...{ heartbeatIdleMs: 0, heartbeatCheckMs: 0, maxIdleMs: 0, delayReceive: false, framing: { type: 'raw' } },
  ...{ packageMaxLength: 1 << 20, proxyProtocol: [], tls: null, http: isHttp ? httpOptions : null, datagrams: -1 },
};
const options = {
  ...{ maxQueuedBytes: 0, maxBufferedBytes: 0, overloadPolicy: 'pause', maxWaitMs: 3000, heartbeatIdleMs: 0 },
  ...{ writeTimeoutMs: 0, halfCloseTimeoutMs: 30_000, maxConnectionsPerIp: 0, ports: [port] },
};

const region = its.Region.create(shape);
region.activeWorkerNum = 1;
const { layout } = region;
const table = new its.ConnectionTable(region);
const workers = new its.WorkerBoard(region);
workers.setField(0, its.WorkerField.pid, process.pid);
const waker = { wake: () => false, ring: nothing };
const rings = [new its.WorkerRing(0, new its.RingWriter(region, layout.inbound(0, 0)), [waker, waker], () => 0)];
const poller = { name: 'epoll', levelTriggered: false, rearm: nothing, wakeSoon: nothing };
const context = new its.ReactorContext({
  ...{ id: 0, reactorNum: 1, options, table, workers, rings, poller, board: new its.ReactorBoard(region) },
  ...{ addresses: new its.AddressCounters(region), dead: new its.DeadConnections(region, options) },
});
const view = new its.SharedDispatchView(region, workers, table, rings);
const slots = new its.ConnectionSlots(0, 1, shape.slots, 1);
const ending = new its.Ending(context, slots, nothing);
const sending = new its.Sending(context, ending);
const inflight = new its.InflightLimit(context, view);
const reading = new its.Reading({ context, ending, inflight, budget: new its.MemoryBudget(context, ending) });
const dispatcher = new its.Dispatcher({ context, region, view, strategy: its.strategyOf('fd-mod') });
const protocols = new its.Protocols(
  { context, ending, sending, reading, dispatcher, refused: nothing, processOf: () => process.pid },
  [{ index: 0, options: port, framing: undefined }],
);
const senders = [
  {
    ...{ ring: new its.RingReader(region, layout.outbound(0, 0)), worker: 0, peer: 0, mayAccept: false },
    ringBell: nothing,
  },
];
const requests = new its.Requests({
  ...{ context, region, senders, protocols, ending, sending, reading, inflight, admission: {} },
  onBrokenSender: () => process.exit(1),
});

const connections = Array.from({ length: CLIENTS }, (_, i) => {
  const slot = slots.take();
  const sessionId = table.nextSessionId(slot);
  const from = { family: 2, address: Buffer.alloc(16), remotePort: 1 };
  table.open(slot, { sessionId, worker: 0, portIndex: 0, descriptor: 100 + i, now: 1, ...from });
  const place = { sessionId, slot, descriptor: 100 + i, worker: 0, port: 0 };
  const connection = new its.Connection(place, protocols.ofPort(0), transport, null);
  context.connections.add(connection);
  connection.protocol.open(connection);
  return connection;
});

const inbound = new its.RingReader(region, layout.inbound(0, 0));
const outbound = new its.RingWriter(region, layout.outbound(0, 0));
const [type, flags] = isHttp ? [its.Request.answer, its.AnswerFlag.last] : [its.Request.send, 0];
const reply = isHttp ? answer : packet;

/** As a worker does: takes what came, and answers each. */
function work() {
  for (; inbound.available(); inbound.advance()) {
    reply.copy(outbound.bytes, outbound.payloadAt);
    outbound.commit(type, flags, isHttp ? its.detailOf(inbound.word) : 0, inbound.sessionId, reply.length);
  }
  inbound.release();
  outbound.publish();
}

let turns = 0;
report(CLIENTS, () => {
  turns++;
  context.now += 0.25;
  for (const connection of connections) {
    connection.readable = true;
    reading.read(connection);
  }
  rings[0].flush();
  work();
  requests.take();
});
const expected = turns * CLIENTS * reply.length;
if (sentBytes !== expected) throw new Error(`clients got ${sentBytes} bytes, not ${expected}`);
