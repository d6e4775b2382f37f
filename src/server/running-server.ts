/** What the server was started with, in the processes it starts: these run the script as it is now. */
import { closeSync } from 'node:fs';
import { ServerError } from '../errors/index.js';
import { RunningServer } from '../options/index.js';
import { readWhole } from '../util/whole-file.js';
import { inherited } from './inherited.js';
import { told } from './told-error.js';

let running: RunningServer | undefined;

/** Undefined in the process that a user starts. */
export function runningServer(): RunningServer | undefined {
  const given = inherited();
  if (given === undefined || running !== undefined) return running;
  running = new RunningServer(readWhole(given.settings));
  if (given.role !== 'manager') closeSync(given.settings); // it starts no process that needs them
  return running;
}

/** @param place of a process among those that the script adds @returns its place among those of the server, if that has it */
export function runningPlaceOf(name: string, place: number): number {
  const names = runningServer()?.processes ?? [];
  return names[place] === name || !names.includes(name) ? place : names.indexOf(name);
}

/** @param place among the added processes of the server @throws ServerError ERR_RESTART_NEEDED: the script no longer adds it */
export function processAt<P extends { readonly name: string }>(processes: readonly P[], place: number): P {
  const own = processes[place];
  const name = runningServer()?.processes[place] ?? own?.name ?? String(place);
  const found = own?.name === name ? own : processes.find((process) => process.name === name);
  if (found !== undefined) return found;
  throw told(new ServerError('ERR_RESTART_NEEDED', { differences: `a process less: ${name}` }));
}
