import { describe, expect, it } from 'vitest';
import { CloseCode, Event } from '../../src/ipc/frame.js';
import { FrameKind } from '../../src/reactor/protocol.js';
import { CounterFrame, counter } from '../fixtures/protocols/counter.js';
import { ReactorWorld, type SentFrame, someHttp, type TakenFrame } from '../helpers/reactor-world.js';
import { protocolConformance, type Spoken } from './protocol.conformance.js';

/** The worker's half: one sum per connection. */
function adder(): (frame: TakenFrame) => readonly SentFrame[] {
  const sums = new Map<number, number>();
  return ({ type, sessionId, text }) => {
    if (type !== CounterFrame.number) return [];
    const sum = (sums.get(sessionId) ?? 0) + Number(text);
    sums.set(sessionId, sum);
    return [{ type: CounterFrame.sum, payload: String(sum) }];
  };
}

const spoken: Spoken = {
  name: 'counter',
  options: { definitions: [counter] },
  messages: ['1\n', '20\n', '-300\n'],
  answers: ['1\n', '21\n', '-279\n'],
  expected: ['1', '1 20', '1 20 -300'],
  heard: (frames) =>
    frames
      .filter(({ type }) => type === CounterFrame.number)
      .map(({ text }) => text)
      .join(' '),
  worker: adder,
  isBusy: true,
  overdueCode: CloseCode.ANSWER_TIMEOUT,
};

protocolConformance(spoken);

describe('a protocol of a test', () => {
  it('joins by its definition, and leaves others their ports', () => {
    const options = { definitions: [counter] };
    expect(new ReactorWorld(options).protocols.ofPort(0).name).toBe('counter');
    expect(new ReactorWorld({ ...options, port: { http: someHttp } }).protocols.ofPort(0).name).toBe('http1');
  });

  it('brings frame types of its own, which are broken frames where no port speaks it', () => {
    const [named, unnamed] = [new ReactorWorld({ definitions: [counter] }), new ReactorWorld()];
    expect(named.protocols.kindOf(CounterFrame.sum)).toBe(FrameKind.ordered);
    expect(unnamed.protocols.kindOf(CounterFrame.sum)).toBe(FrameKind.unknown);
    unnamed.sends(unnamed.connect(), [{ type: CounterFrame.sum, payload: '1' }]);
    expect(unnamed.brokenSenders).toEqual([0]);
  });

  it('refuses what it does not understand', () => {
    const world = new ReactorWorld({ definitions: [counter] });
    const connection = world.connect();
    world.clientSends(connection, 'one\n');
    expect(world.refused).toEqual([[CloseCode.PACKET_MALFORMED, 'it is no number']]);
    expect(connection.isClosed).toBe(true);
    expect(world.take().map(({ type, detail }) => [type, detail])).toEqual([[Event.close, CloseCode.PACKET_MALFORMED]]);
  });
});
