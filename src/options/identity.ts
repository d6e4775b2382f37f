/** The options `umask` and `cpuAffinity`. */
import { integer, jsonOrText, type Kind, refuse } from './check.js';

const ALL_RIGHTS = 0o777;

/** −1: left as it is. */
export function umask(): Kind<number, number> {
  return {
    ...integer({ min: -1, max: ALL_RIGHTS }, 'octal: 0o027'),
    show: (value) => (value < 0 ? '-1' : `0o${value.toString(8)}`),
    // Always octal, as in the shell.
    parse: (text) => {
      if (text === '-1') return -1;
      return /^(0o)?[0-7]{1,4}$/.test(text) ? Number.parseInt(text.replace('0o', ''), 8) : text;
    },
  };
}

const MOST_CORES = 1024;

/** 'all', or the numbers of cores; none: the system decides. */
export function cores(): Kind<boolean | readonly number[], 'all' | readonly number[]> {
  const expected = `true, false, or a list of core numbers from 0 to ${MOST_CORES - 1}`;
  const core = integer({ min: 0, max: MOST_CORES - 1 });
  return {
    type: 'boolean | number[]',
    expected,
    show: (value) => (value === 'all' ? 'true' : JSON.stringify(value)),
    parse: (text) => {
      if (/^(true|false)$/.test(text)) return text === 'true';
      return /^\d+(,\d+)*$/.test(text) ? text.split(',').map(Number) : jsonOrText(text);
    },
    check(name, value) {
      if (typeof value === 'boolean') return value ? 'all' : [];
      if (!Array.isArray(value)) refuse('ERR_OPTION_TYPE', name, expected, value);
      return Object.freeze(value.map((item) => core.check(name, item)));
    },
  };
}
