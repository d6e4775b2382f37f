import { STATUS_CODES } from 'node:http';
import { expect, it } from 'vitest';
import { reasonPhrase } from '../../../src/protocol/http/reason-phrase.js';

it('are those of Node, for every status', () => {
  const statuses = Array.from({ length: 600 }, (_, status) => status);
  expect(statuses.map(reasonPhrase)).toEqual(statuses.map((status) => STATUS_CODES[status] ?? ''));
});
