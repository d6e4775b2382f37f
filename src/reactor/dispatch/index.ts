import type { ResolvedOptions } from '../../options/index.js';
import { fdMod } from './fd-mod.js';
import { idle } from './idle.js';
import { leastConnections } from './least-connections.js';
import { roundRobin } from './round-robin.js';
import type { DispatchStrategy } from './strategy.js';

export type DispatchMode = ResolvedOptions['dispatchMode'];

export const strategies: Record<DispatchMode, DispatchStrategy> = {
  'least-connections': leastConnections,
  'fd-mod': fdMod,
  'round-robin': roundRobin,
  idle,
};

export type { DispatchStrategy, DispatchView } from './strategy.js';
