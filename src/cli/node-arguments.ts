/** Arguments of Node among the words after `tswoole start`: `--inspect`, `--max-old-space-size=512`, `--import ./trace.js`. */

/** Arguments whose value may be the next word. */
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

/** The explicit form. */
const NODE_ARG = '--node-arg';

/**
 * @param words up to `--` @param isOurs flags of `tswoole start` itself take precedence
 * @returns the same words, with arguments of Node as `--node-arg=…`
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
