export type { AdminOptions, ResolvedAdmin } from './admin.js';
export { isPlainObject, refuseNoObject } from './check.js';
export type { OptionName } from './definitions.js';
export {
  checkOption,
  environmentForMaster,
  FLAGS_VARIABLE,
  flagOf,
  flagsForChild,
  isSecret,
  optionsFromOutside,
  parseOption,
  SECRETS_VARIABLE,
  secretsDescriptor,
  secretsForChild,
  takeFlags,
  textOfOption,
  textOptions,
  variableOf,
  withoutSecrets,
} from './environment.js';
export { type Framing, type LengthField, lengthFields, type ResolvedFraming } from './framing.js';
export { type FromSwooleOptions, fromSwoole, type SwooleSettings, type UnusedSetting } from './from-swoole.js';
export type { LogRotation, ResolvedLogRotation } from './logs.js';
export { currentMachine, type Machine } from './machine.js';
export { describeUnknown, nearest } from './nearest.js';
export type { ListenOptions, ResolvedListen, ResolvedOptions, ServerOptions } from './option-types.js';
export { speaksHttp } from './protocol.js';
export { optionNames, otherWords, resolveListen, resolveOptions } from './resolve.js';
export { type Declared, packRunning, RunningServer } from './running.js';
