export { type Clock, monotonicMs, systemClock, type TimerHandle } from './clock.js';
export { type Deferred, deferred } from './deferred.js';
export { Log, type LogFields, type LogLevel, type LogOptions, logLevels } from './log.js';
