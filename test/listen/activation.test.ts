import { expect, it, vi } from 'vitest';
import { Activation, type WantedAddress } from '../../src/listen/activation.js';

/** Socket 3 is port 8003, and so on. */
vi.mock('../../src/os/socket.js', () => ({
  adoptSocket: (descriptor: number) => ({ descriptor, type: 'tcp', host: '::1', port: 8000 + descriptor, path: '' }),
}));

const take = (count: number): Activation =>
  Activation.take({ LISTEN_PID: String(process.pid), LISTEN_FDS: String(count) });
const wanted = (port: number): WantedAddress => ({ type: 'tcp', host: '::1', port, path: '' });

it.each([
  [1, ['tcp ::1:8003']],
  [3, ['tcp ::1:8003', 'tcp ::1:8004', 'tcp ::1:8005']],
])('%i inherited sockets begin at descriptor 3 (sd_listen_fds(3))', (count, names) => {
  expect(() => take(count).refuseRest([])).toThrow(
    expect.objectContaining({ code: 'ERR_ACTIVATION', detail: { inherited: names.join(', '), declared: '' } }),
  );
});

it('each socket is claimed once, and the others stay', () => {
  const given = take(3);
  expect(given.claim(wanted(8004))).toMatchObject({ descriptor: 4 });
  expect(given.claim(wanted(8004))).toBeUndefined();
  expect(given.claim(wanted(0))).toMatchObject({ descriptor: 3 });
  expect(given.claim(wanted(0))).toMatchObject({ descriptor: 5 });
  expect(given.claim(wanted(0))).toBeUndefined();
  given.refuseRest([]);
});
