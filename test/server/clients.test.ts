import { beforeEach, describe, expect, it } from 'vitest';
import type { Outbox } from '../../src/ipc/outbox.js';
import { ConnectionTable, SlotFlag, SlotState } from '../../src/memory/connection-table.js';
import { Region } from '../../src/memory/region.js';
import { AF_INET } from '../../src/os/constants.js';
import { Clients } from '../../src/server/clients.js';
import type { Runtime } from '../../src/server/context.js';
import { testShape } from '../helpers/test-shape.js';

let table: ConnectionTable;
let clients: Clients;
let sent: number[];

beforeEach(() => {
  const region = Region.create(testShape());
  table = new ConnectionTable(region);
  sent = [];
  const outbox = { send: (fd: number) => sent.push(fd) > 0, sendFile: (fd: number) => sent.push(fd) > 0 };
  clients = new Clients(() => ({ region, outbox: outbox as unknown as Outbox }) as Runtime);
  clients.running(region);
});

function open(slot: number, isWebSocket: boolean): number {
  const sessionId = table.nextSessionId(slot);
  const place = { worker: 0, portIndex: 0, descriptor: 9, now: 1, family: AF_INET, address: Buffer.alloc(16) };
  table.open(slot, { ...place, sessionId, remotePort: 1 });
  table.setFlag(slot, SlotFlag.webSocket, isWebSocket);
  return sessionId;
}

describe('a file', () => {
  const send = (fd: number): boolean => clients.sendFile(fd, import.meta.filename, {});

  it('goes to a connection, and not to a WebSocket, whose framing it would break', () => {
    const [fd, webSocket] = [open(0, false), open(1, true)];
    expect(send(fd)).toBe(true);
    expect(send(webSocket)).toBe(false);
    expect(clients.lastError).toMatchObject({
      ...{ code: 'ERR_IS_WEBSOCKET', detail: { fd: webSocket, method: 'sendFile' } },
    });
    expect(sent).toEqual([fd]);
  });

  it('for a WebSocket that has ended is refused by who knows that', () => {
    const fd = open(1, true);
    table.setState(1, SlotState.closed);
    send(fd);
    expect(sent).toEqual([fd]);
  });
});
