import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { TreeProcess } from '../helpers/processes.js';
import { endServers, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { Load } from '../helpers/tcp-client.js';

afterEach(endServers);

const MINUTES = Number(process.env['SOAK_MINUTES'] ?? 5);
const WORKERS = 3;
const CONNECTIONS = 200;
/** Longer than any repair may take. */
const LOST_AFTER_MS = 6000;
/** A manager that dies young is started again after a pause: that is not what is measured here. */
const MANAGER_HEALTHY_MS = 7000;
/** A second. */
const BOOT_TICKS = 100;

const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;
const residentMiB = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

const chance = (share: number): boolean => Math.random() < share;
const oneOf = <T>(list: readonly T[]): T | undefined => list[Math.floor(Math.random() * list.length)];

/** Workers that have booted: one that dies while it boots is meant to back off. */
function grownUp(server: ServerProcess): TreeProcess[] {
  const uptimeTicks = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 100;
  return server.workers.filter(({ startedAt }) => uptimeTicks - Number(startedAt) > BOOT_TICKS);
}

function isWhole(server: ServerProcess): boolean {
  return server.manager !== undefined && server.workers.length === WORKERS && server.zombies.length === 0;
}

describe('minutes of random kills, reloads and replacements under load', () => {
  it('close no connection, lose no more than one answer for each killed worker, and leak nothing', async () => {
    const server = await startServer('late-echo.js', { options: { workerNum: WORKERS, logLevel: 'error' } });
    const load = await Load.start(server.port, CONNECTIONS);
    await load.progress(100);
    const before = { descriptors: descriptors(server.masterPid), residentMiB: residentMiB(server.masterPid) };
    const end = performance.now() + MINUTES * 60_000;
    const did = { workers: 0, managers: 0, reloads: 0, replacements: 0 };
    let managerKilledAt = 0;
    let lost = 0;

    const disturb = (): void => {
      if (chance(0.15) && performance.now() - managerKilledAt > MANAGER_HEALTHY_MS) {
        managerKilledAt = performance.now();
        did.managers += strike('SIGKILL', server.manager?.pid);
      } else if (chance(0.3)) {
        did.reloads += strike('SIGUSR1', server.masterPid);
      } else if (chance(0.4)) {
        did.replacements += strike('SIGTERM', oneOf(grownUp(server))?.pid);
      } else {
        did.workers += strike('SIGKILL', oneOf(grownUp(server))?.pid);
      }
    };
    const strike = (signal: NodeJS.Signals, pid: number | undefined): 0 | 1 => {
      if (pid === undefined) return 0;
      try {
        server.signal(signal, pid);
        return 1;
      } catch {
        return 0; // it has just ended by itself
      }
    };

    while (performance.now() < end) {
      disturb();
      await sleep(Math.random() * 600);
      lost += load.giveUp(LOST_AFTER_MS);
      if (chance(0.1)) await poll('the tree is whole again', () => isWhole(server), 60_000);
    }

    await poll('the tree is whole again', () => isWhole(server), 60_000);
    await sleep(LOST_AFTER_MS);
    lost += load.giveUp(LOST_AFTER_MS);
    await load.progress(10, 20_000);
    const result = await load.finish();
    console.log({ ...did, lost, answered: result.answered });
    expect(result.ended).toEqual([]);
    expect(result.faults).toEqual([]);
    expect(result.lost).toEqual([]);
    expect(lost).toBeLessThanOrEqual(did.workers);
    expect(descriptors(server.masterPid)).toBeLessThanOrEqual(before.descriptors + 5);
    expect(residentMiB(server.masterPid)).toBeLessThan(before.residentMiB + 100);
    load.close();
    server.signal('SIGTERM');
    expect(await server.exited).toEqual({ code: 0, signal: null });
    server.assertNothingLeft();
  });
});
