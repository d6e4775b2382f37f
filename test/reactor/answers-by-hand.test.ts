import { MessageChannel } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { AnswerFlag } from '../../src/ipc/frame.js';
import { SlotFlag } from '../../src/memory/connection-table.js';
import { get, Http1World } from '../helpers/http1-world.js';

const HEAD = 'HTTP/1.1 200 OK\r\n\r\n';
const { last, close } = AnswerFlag;
const LONG = 100_000;

/** A request that the worker has found; the kernel takes so many bytes. */
function asked(room = Number.POSITIVE_INFINITY, text = get('/1')): Http1World {
  const world = new Http1World();
  world.asks(text);
  world.heardRequests();
  world.client(world.connection).room = room;
  return world;
}

/** Gives the answer with this number. */
function gives(world: Http1World, detail: number, body: Uint8Array, flags: number = last): boolean | undefined {
  return world.answersByHand(world.connection, { detail, flags, text: HEAD, body });
}

describe('a long answer of a worker in this process', () => {
  it('leaves in one call, head, body and tail', () => {
    const world = asked();
    const parts = {
      detail: 1,
      flags: last,
      head: Buffer.from('he'),
      text: 'ad',
      body: Buffer.alloc(LONG, 'x'),
      tail: '.',
    };
    expect(world.answersByHand(world.connection, parts)).toBe(true);
    expect(world.got).toBe(`head${'x'.repeat(LONG)}.`);
    expect([world.client(world.connection).calls, world.connection.out]).toEqual([1, null]);
  });

  it('stays where it lies while the kernel has no room for it, and leaves as there is room', () => {
    const world = asked(50);
    const body = Buffer.alloc(LONG, 'x');
    gives(world, 1, body);
    expect([world.got.length, world.connection.out?.bytes]).toEqual([50, HEAD.length + LONG - 50]);
    expect(world.connection.out?.items.map((item) => 'isLent' in item && item.isLent)).toEqual([true]);
    world.clientTakes(world.connection, 1000);
    world.clientTakes(world.connection);
    expect([world.got, world.connection.out]).toEqual([HEAD + body.toString(), null]);
  });

  it('goes behind what is queued, and the next one behind it', () => {
    const world = asked(0);
    world.answersByHand(world.connection, { detail: 1, flags: 0, text: 'first;' });
    gives(world, 1, Buffer.alloc(LONG, 'x'), 0);
    world.answersByHand(world.connection, { detail: 1, flags: last, text: ';last' });
    world.clientTakes(world.connection);
    expect(world.got).toBe(`first;${HEAD}${'x'.repeat(LONG)};last`);
  });

  it('in parts leaves nothing with its user: the buffer may be filled again for the next part', () => {
    const world = asked(50);
    const body = Buffer.alloc(LONG, 'x');
    gives(world, 1, body, 0);
    gives(world, 1, body.fill('y'), 0);
    body.fill('z');
    world.clientTakes(world.connection);
    expect(world.got).toBe(`${HEAD}${'x'.repeat(LONG)}${HEAD}${'y'.repeat(LONG)}`);
  });

  it('is not taken where the queue has no room for it: the ring brings it in pieces', () => {
    const world = asked(0);
    const { highWatermark } = world.context.options.ports[0] as { highWatermark: number };
    expect(gives(world, 1, Buffer.alloc(highWatermark * 2), 0)).toBe(false);
    expect(gives(world, 1, Buffer.alloc(highWatermark), 0)).toBe(true);
    expect(world.table.hasFlag(world.connection.slot, SlotFlag.full)).toBe(true);
    expect(gives(world, 1, Buffer.alloc(40_000), 0)).toBe(false);
  });

  it('ends the connection where it says so, when all of it has left', () => {
    const world = asked(50);
    gives(world, 1, Buffer.alloc(LONG, 'x'), last | close);
    expect(world.client(world.connection).end).toBe('open');
    world.clientTakes(world.connection);
    expect([world.got.length, world.client(world.connection).end]).toEqual([HEAD.length + LONG, 'released']);
  });

  it.each([
    [
      'transferred',
      (body: Uint8Array): void => new MessageChannel().port1.postMessage(0, [body.buffer as ArrayBuffer]),
    ],
    ['shrunk', (body: Uint8Array): void => (body.buffer as ArrayBuffer & { resize(bytes: number): void }).resize(10)],
  ])('whose memory is %s meanwhile ends the connection: no foreign memory is sent', (_how, take) => {
    const world = asked(50);
    const memory = new (ArrayBuffer as new (bytes: number, options: object) => ArrayBuffer)(LONG, {
      maxByteLength: LONG,
    });
    const body = new Uint8Array(memory).fill(120);
    gives(world, 1, body);
    take(body);
    world.clientTakes(world.connection);
    expect([world.got.length, world.client(world.connection).end]).toEqual([50, 'reset']);
    expect(world.found().at(-1)?.[2]).toMatch(/transferred or shrunk/);
  });

  it('is handed over to the next process as it is', () => {
    const world = asked(50);
    const body = Buffer.alloc(LONG, 'x');
    gives(world, 1, body);
    const next = world.successor();
    const [connection] = next.context.connections.list();
    if (connection === undefined) throw new Error('it was not handed over');
    next.clientTakes(connection);
    expect(next.client(connection).got).toBe(HEAD + body.toString());
  });
});

describe('a hand-over', () => {
  it('takes no connection whose lent memory is gone', () => {
    const world = asked(50);
    const body = new Uint8Array(LONG);
    gives(world, 1, body);
    new MessageChannel().port1.postMessage(0, [body.buffer]);
    expect(world.successor().context.connections.list()).toEqual([]);
    expect(world.client(world.connection).end).toBe('reset');
  });
});

describe('answers to a batch of requests', () => {
  const batch = get('/1') + get('/2') + get('/3');

  it('leave in one call at the end of the turn; each next request comes in the same turn', () => {
    const world = asked(undefined, batch);
    for (const exchange of [1, 2, 3]) {
      expect(world.answersByHand(world.connection, { detail: exchange, flags: last, text: `<${exchange}>` })).toBe(
        true,
      );
      expect(world.got).toBe('');
      const frames = world.take();
      expect(frames.map(({ detail }) => detail)).toEqual(exchange === 3 ? [] : [exchange + 1]);
    }
    world.turn();
    expect([world.got, world.client(world.connection).calls]).toEqual(['<1><2><3>', 1]);
  });

  it('leave at the end of the turn though the next one is not answered yet', () => {
    const world = asked(undefined, batch);
    world.answersByHand(world.connection, { detail: 1, flags: last, text: '<1>' });
    world.turn();
    expect(world.got).toBe('<1>');
    world.take();
    world.answersByHand(world.connection, { detail: 2, flags: last, text: '<2>' });
    world.turn();
    expect(world.got).toBe('<1><2>');
  });

  it('leave at once when they become many bytes', () => {
    const world = asked(undefined, batch);
    world.answersByHand(world.connection, { detail: 1, flags: last, text: 'x'.repeat(20_000) });
    expect(world.got.length).toBe(20_000);
  });

  it('wait for a client that takes nothing, and the requests behind them too', () => {
    const world = asked(0, batch);
    world.answersByHand(world.connection, { detail: 1, flags: last, text: '<1>' });
    world.turn();
    world.take();
    world.answersByHand(world.connection, { detail: 2, flags: last, text: '<2>' });
    world.turn();
    expect([world.got, world.take()]).toEqual(['', []]);
    world.clientTakes(world.connection);
    expect([world.got, world.heardRequests()]).toMatchObject(['<1><2>', [{ target: '/3' }]]);
  });

  it('end with the connection where one of them says so', () => {
    const world = asked(undefined, batch);
    world.answersByHand(world.connection, { detail: 1, flags: last, text: '<1>' });
    world.take();
    world.answersByHand(world.connection, { detail: 2, flags: last | close, text: '<2>' });
    world.turn();
    expect([world.got, world.client(world.connection).end]).toEqual(['<1><2>', 'released']);
  });
});
