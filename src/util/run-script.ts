/** For programs of ours that Node is given in place of the script. */
import { resolve } from 'node:path';

/** Runs it, in this process, as if Node had been given it. */
export function runScript(): void {
  process.argv.splice(1, 1);
  process.argv[1] = resolve(process.argv[1] ?? '');
  Reflect.deleteProperty(process, 'mainModule');
  process.getBuiltinModule('node:module').runMain();
}
