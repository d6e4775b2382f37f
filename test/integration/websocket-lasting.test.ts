import { afterEach, describe, expect, it } from 'vitest';
import { certificateFor } from '../helpers/certificates.js';
import { expectAllPublished, last, openMembers, reload, sourcesOf } from '../helpers/lasting-sockets.js';
import type { RoomMember } from '../helpers/room-members.js';
import { endServers, IS_BASE, startServer } from '../helpers/server-process.js';

afterEach(endServers);

const COUNT = 60;
const tlsOptions = { tls: certificateFor('server.test') };
const transports = IS_BASE ? [false] : [false, true];

function end(members: readonly RoomMember[]): void {
  for (const { socket } of members) socket.terminate();
}

describe.each(transports)('sockets in rooms (TLS: %s)', (tls) => {
  it('outlive reloads and killed workers: none is closed, and no message of a room is lost, doubled or out of order', async () => {
    const server = await startServer('websocket.js', { options: tls ? tlsOptions : {}, env: { PUBLISHER: '1' } });
    const members = await last(server, { count: COUNT, tls, reloads: 3, kills: IS_BASE ? 0 : 3 });
    end(members);
  });

  it('get all that workers have published that a reload replaces', async () => {
    const options = { ...(tls && tlsOptions) };
    const server = await startServer('websocket.js', { options, env: { WORKERS_PUBLISH: '1' } });
    const members = await openMembers(server, { count: 20, tls, reloads: 3, kills: 0 });
    const old = await sourcesOf(members, 2);
    for (let i = 0; i < 3; i++) await reload(server);
    expect(server.events('published')).toHaveLength(6);
    await expectAllPublished(server, members, old);
    end(members);
  });
});
