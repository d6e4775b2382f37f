/** Arguments of Node among the words behind `tswoole start`: `--inspect`, `--max-old-space-size=512`, `--import ./trace.js`. */

/** Those whose value may be the next word. */
const TAKES_NEXT: Readonly<Record<string, string>> = {
  '-r': '--require',
  '--require': '--require',
  '--import': '--import',
  '--loader': '--loader',
  '--experimental-loader': '--experimental-loader',
  '-C': '--conditions',
  '--conditions': '--conditions',
  '--env-file': '--env-file',
};

/** The long way of giving one. */
const NODE_ARG = '--node-arg';

/**
 * @param words up to `--` @param isOurs flags of `tswoole start` itself come first
 * @returns the same words, those of Node as `--node-arg=…`
 */
export function withNodeArguments(words: readonly string[], isOurs: (flag: string) => boolean): string[] {
  const result: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    const [flag = ''] = word.split('=', 1);
    const long = TAKES_NEXT[flag];
    const isOfNode = flag.startsWith('-') && !isOurs(flag) && (long !== undefined || isKnownToNode(flag));
    if (word === NODE_ARG && at + 1 < words.length) result.push(`${NODE_ARG}=${words[++at]}`);
    else if (!isOfNode) result.push(word);
    else if (long === undefined || word.includes('=')) result.push(`${NODE_ARG}=${word}`);
    else result.push(`${NODE_ARG}=${long}=${words[++at] ?? ''}`);
  }
  return result;
}

function isKnownToNode(flag: string): boolean {
  return flag.startsWith('--') && process.allowedNodeEnvironmentFlags.has(flag);
}
