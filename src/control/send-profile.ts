import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { TakenProfile } from './controlled.js';

/** Answers with the profile, as a file to save. The listener's time-out closes a client that stops reading. */
export async function sendProfile(response: ServerResponse, profile: TakenProfile): Promise<void> {
  try {
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': profile.bytes,
      'content-disposition': `attachment; filename="${profile.name}"`,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    if (response.req.method === 'HEAD') return void response.end();
    for await (const piece of profile.read()) {
      if (response.destroyed) return;
      if (!response.write(piece)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
    }
    response.end();
  } finally {
    profile.free();
  }
}
