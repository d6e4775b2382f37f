import type { ResolvedOptions } from '../../options/index.js';
import { fdMod } from './fd-mod.js';
import { idle } from './idle.js';
import { ipMod } from './ip-mod.js';
import { leastBusy } from './least-busy.js';
import { leastConnections } from './least-connections.js';
import { roundRobin } from './round-robin.js';
import type { DispatchStrategy } from './strategy.js';
import { uidMod } from './uid-mod.js';

export type DispatchMode = ResolvedOptions['dispatchMode'];

const strategies = {
  'least-connections': leastConnections,
  'fd-mod': fdMod,
  'ip-mod': ipMod,
  'uid-mod': uidMod,
  'round-robin': roundRobin,
  idle,
  'least-busy': leastBusy,
} as const satisfies Record<Extract<DispatchMode, string>, DispatchStrategy>;

/** For a user function: packets that it leaves to the server are dispatched as fd-mod. */
export function strategyOf(mode: DispatchMode): DispatchStrategy {
  return typeof mode === 'string' ? strategies[mode] : { ...fdMod, sticky: false, keepsUnused: false };
}

export { type DispatchFunction, type DispatchInfo, loadDispatch } from './custom.js';
export { ownWorker } from './own-worker.js';
export { chooseForConnection, type DispatchStrategy, type DispatchSubject, type DispatchView } from './strategy.js';
