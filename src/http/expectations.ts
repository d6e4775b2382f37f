/** The Expect field of requests (RFC 9110 10.1.1): 100-continue, and expectations that no handler knows. */

/** The sentence of 417. */
export const OTHER_EXPECTATION = 'The Expect field asks for more than 100-continue.';

export function isContinue(expect: string): boolean {
  return expect.toLowerCase() === '100-continue';
}

export interface ExpectingAnswer {
  statusCode: number;
  writeContinue(): void;
  end(): unknown;
}

/**
 * Calls an app in the manner of Node, as a `http.Server` does it for requests with an Expect field.
 * @param notify emits that event; false: it has no listeners
 */
export function callExpected<T>(
  expect: string,
  response: ExpectingAnswer,
  notify: (event: 'checkContinue' | 'checkExpectation') => boolean,
  call: () => T,
): T | undefined {
  if (isContinue(expect)) {
    if (notify('checkContinue')) return undefined;
    response.writeContinue();
    return call();
  }
  if (notify('checkExpectation')) return undefined;
  response.statusCode = 417;
  response.end();
  return undefined;
}
