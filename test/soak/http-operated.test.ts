import { afterEach, expect, it } from 'vitest';
import { operateHttp } from '../helpers/http-operated.js';
import { endServers } from '../helpers/server-process.js';

afterEach(endServers);

it('20 reloads and 20 killed workers under load cost no connection, and only the requests the killed ones had', async () => {
  const { result, badGateways } = await operateHttp(20, 200, true);
  process.stdout.write(`${result.requests} requests, ${badGateways} were answered 502\n`);
  expect(result, result.output).toMatchObject({ errors: 0, refused: badGateways });
});
