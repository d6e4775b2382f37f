// What every server answers, the same from each of them.
export const TEXT = 'Hello World\n';
export const JSON_VALUE = { message: 'Hello, World!' };
export const KIB = `${'tswoole '.repeat(127)}tswoole\n`;
