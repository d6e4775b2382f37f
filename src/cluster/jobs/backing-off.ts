import { pause } from '../../util/pause.js';
import { type BullSettings, pauseBefore } from './engine.js';

/**
 * Pauses after each refusal to give out a job (no memory, read-only), up to 2 s: BullMQ's worker asks again at once, thousands
 * of times a second.
 *
 * @param signal ends a pause
 */
export function backingOff(factory: BullSettings['factory'], signal: AbortSignal): BullSettings['factory'] {
  return (...args) => {
    const backend = factory(...args);
    const take = backend.moveToActive.bind(backend);
    let refusals = 0;
    backend.moveToActive = async (token, name) => {
      try {
        const taken = await take(token, name);
        refusals = 0;
        return taken;
      } catch (error) {
        await pause(pauseBefore(refusals++), signal);
        throw error;
      }
    };
    return backend;
  };
}
