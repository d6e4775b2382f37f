import { closeSync, fstatSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WorkersAsOwners } from '../../src/base/workers-as-owners.js';
import type { MasterToManager } from '../../src/ipc/message.js';
import { type BoundPort, bindPort, unbindPort } from '../../src/listen/bind-port.js';
import { findPortHolder } from '../../src/listen/port-holder.js';
import type { OwnerParts } from '../../src/master/mode.js';
import { Region } from '../../src/memory/region.js';
import { resolveListen, resolveOptions, type ServerOptions } from '../../src/options/index.js';
import { isLinux } from '../../src/os/libc.js';
import { openDescriptors } from '../helpers/leaks.js';
import { testShape } from '../helpers/test-shape.js';

let before: string[];
let region: Region;
let told: MasterToManager[];
let bound: BoundPort[];
let closedWithin: number[];

beforeEach(() => {
  before = openDescriptors();
  region = Region.create(testShape({ reactorNum: 3, workerNum: 3 }));
  [told, bound, closedWithin] = [[], [], []];
});
afterEach(() => {
  for (const port of bound) unbindPort(port);
  closeSync(region.descriptor);
  expect(openDescriptors()).toEqual(before);
});

/** A stream port and one for datagrams. */
const start = async (given: ServerOptions = {}): Promise<WorkersAsOwners> => {
  const options = resolveOptions({ mode: 'base', workerNum: 3, host: '127.0.0.1', port: 0, ...given });
  const listens = [resolveListen({ port: 0 }, options), resolveListen({ port: 0, type: 'udp' }, options)];
  for (const listen of listens) bound.push(await bindPort(listen, options.reusePort));
  region.ports = bound.map(({ port }) => port);
  const owners = new WorkersAsOwners({
    ...{ region, options, listens },
    notifyManager: (message: MasterToManager) => told.push(message),
    closeByManager: async (deadlineMs: number) => void closedWithin.push(deadlineMs),
  } as unknown as OwnerParts);
  await owners.start(bound);
  return owners;
};

describe('what a worker is started with', () => {
  it('is the ports of all, an end to give and one to take by, which its successor gets as well', async () => {
    const owners = await start();
    const [stream, datagram] = bound.map(({ descriptor }) => descriptor);
    expect(owners.ownOf(0).listeners).toEqual([stream, datagram]);
    for (const worker of [1, 2]) expect(owners.ownOf(worker).listeners).toEqual([stream, -1]);
    const ends = [0, 1, 2].flatMap((worker) => [owners.ownOf(worker).give, owners.ownOf(worker).take]);
    expect(new Set(ends).size).toBe(6);
    for (const end of ends) expect(() => fstatSync(end)).not.toThrow();
    expect(owners.ownOf(1)).toEqual(owners.ownOf(1));
    await owners.stop();
  });

  it('is, with reusePort, sockets of its own at the same address; the first has the ports themselves', async () => {
    const owners = await start({ reusePort: true });
    const all = [0, 1, 2].flatMap((worker) => owners.ownOf(worker).listeners);
    expect(owners.ownOf(0).listeners).toEqual(bound.map(({ descriptor }) => descriptor));
    expect(new Set(all).size).toBe(6);
    expect(all).not.toContain(-1);
    owners.stopAccepting();
    await owners.stop();
  });

  it('is, for a process without a worker id, no end at all', async () => {
    const owners = await start();
    expect(owners.ownOf(3)).toMatchObject({ give: -1, take: -1 });
    await owners.stop();
  });
});

describe('accepting', () => {
  it('is said to those that run, and left in shared memory for those that come', async () => {
    const owners = await start();
    expect(region.accepting).toBe(false);
    owners.accept();
    expect(region.accepting).toBe(true);
    expect(told).toEqual([{ type: 'accept' }]);
    owners.stopAccepting();
    expect(region.accepting).toBe(false);
    await owners.stop();
  });

  it.runIf(isLinux)('makes the further sockets of reusePort listen, and stopAccepting closes them', async () => {
    const owners = await start({ reusePort: true });
    const own = owners.ownOf(2).listeners[0] ?? -1;
    expect(findPortHolder(bound[0]?.port ?? 0)).toBeUndefined();
    owners.accept();
    expect(findPortHolder(bound[0]?.port ?? 0)).toContain(`(pid ${process.pid})`);
    owners.stopAccepting();
    expect(() => fstatSync(own)).toThrow(expect.objectContaining({ code: 'EBADF' }));
    expect(findPortHolder(bound[0]?.port ?? 0)).toBeUndefined();
    await owners.stop();
  });
});

describe('the end', () => {
  it('is brought about by the manager, within the time it is given', async () => {
    const owners = await start();
    await owners.closeAll(750);
    expect(closedWithin).toEqual([750]);
    await owners.stop();
  });

  it('may come twice, and leaves no descriptor', async () => {
    const owners = await start();
    await owners.stop();
    await owners.stop();
    owners.stopAtOnce();
    expect(owners.ownOf(0)).toMatchObject({ give: -1, take: -1 });
  });
});

describe('what workers do by themselves', () => {
  it('is waited for by nobody', async () => {
    const owners = await start();
    await Promise.all([owners.ready(), owners.quiesce(), owners.withhold(), owners.rebind()]);
    expect(await owners.renew()).toBeUndefined();
    owners.useWorkers();
    expect(told).toEqual([]);
    await owners.stop();
  });
});
