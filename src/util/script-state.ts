/**
 * How far the script of this process has come. `tswoole start` reads it from another bundle, and maybe from another copy of
 * the package, so it lies under a global symbol. Absent where `tswoole start` did not start the process.
 */
export interface ScriptState {
  /** The script has constructed a server. */
  made: boolean;
  /** It has called its `start()`. */
  started: boolean;
}

const KEY = Symbol.for('tswoole.scriptState');

/** Notes it, where somebody looks. */
export function scriptHas(step: keyof ScriptState): void {
  const state = Reflect.get(globalThis, KEY) as ScriptState | undefined;
  if (state !== undefined) state[step] = true;
}

/** From now on this process records its state. */
export function watchState(): ScriptState {
  const state: ScriptState = { made: false, started: false };
  Reflect.set(globalThis, KEY, state);
  return state;
}
