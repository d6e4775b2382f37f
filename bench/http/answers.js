// What every server answers, the same from each of them.
export const TEXT = 'Hello World\n';
export const JSON_VALUE = { message: 'Hello, World!' };
export const KIB = `${'tswoole '.repeat(127)}tswoole\n`;

/** Large answers, from memory. */
export const KIB_100 = Buffer.alloc(100 * 1024, KIB);
export const MIB = Buffer.alloc(1024 * 1024, KIB);
/** The same as a string, which every server has to encode. */
export const KIB_100_TEXT = KIB_100.toString();
/** A streamed answer is PIECES of these, one after the other, as fast as the client takes them. */
export const PIECE = Buffer.alloc(64 * 1024, KIB);
export const PIECES = 16;
