export type { ListenOptions, OptionName, ResolvedListen, ResolvedOptions, ServerOptions } from './definitions.js';
export { currentMachine, type Machine } from './machine.js';
export { nearest } from './nearest.js';
export { resolveListen, resolveOptions } from './resolve.js';
