/** The Expect field of requests (RFC 9110 10.1.1): 100-continue, and expectations that no handler knows. */

/** The sentence of 417. */
export const OTHER_EXPECTATION = 'The Expect field asks for more than 100-continue.';

export function isContinue(expect: string): boolean {
  return expect.toLowerCase() === '100-continue';
}
