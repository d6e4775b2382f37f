// Reloads and killed workers under load: not one connection ends. The long form is in test/soak.
import { afterEach, expect, it } from 'vitest';
import { operateHttp } from '../helpers/http-operated.js';
import { endServers, IS_BASE } from '../helpers/server-process.js';
import { hasProgram } from '../helpers/wrk.js';

afterEach(endServers);

it.skipIf(!hasProgram('wrk'))(
  'under load no request is lost by a reload, and by a killed worker only what it had',
  async () => {
    const { result, badGateways } = await operateHttp(3, 200, !IS_BASE);
    expect(result, result.output).toMatchObject({ errors: 0, refused: badGateways });
  },
);
