import { describe, expect, it } from 'vitest';
import { Server } from '../../src/index.js';

describe('bind()', () => {
  const bind = (uid: number) => () => new Server().bind(1, uid);

  it.each([0, 2 ** 31, 1.5])('refuses the uid %d and names the range that it takes', (uid) => {
    expect(bind(uid)).toThrow(/integer from 1 to 2\^31 - 1, received/);
  });

  it.each([1, 2 ** 31 - 1])('takes the uid %d (and then asks for a server that runs)', (uid) => {
    expect(bind(uid)).toThrow(expect.objectContaining({ code: 'ERR_NOT_STARTED' }));
  });
});
