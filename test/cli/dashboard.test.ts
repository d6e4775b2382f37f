import { describe, expect, it } from 'vitest';
import { candidates } from '../../src/cli/commands/completion.js';
import { dashboardOf, openerFor } from '../../src/cli/commands/dashboard.js';
import { createProgram } from '../../src/cli/program.js';

const found = (listener: string, admin: object | null = {}) => ({
  ...{ listener, name: 'shop' },
  admin: admin === null ? null : { dashboard: true, token: '', readToken: '', ...admin },
});

describe('tswoole dashboard', () => {
  it.each([
    ['http://127.0.0.1:9100', 'http://127.0.0.1:9100/dashboard/'],
    ['http://0.0.0.0:9100', 'http://127.0.0.1:9100/dashboard/'],
    ['http://[::]:9100', 'http://[::1]:9100/dashboard/'],
    ['http://10.0.0.7:80', 'http://10.0.0.7/dashboard/'],
  ])('of a listener on %s opens %s', (listener, url) => {
    expect(dashboardOf(found(listener)).url).toBe(url);
  });

  it.each([
    [{}, 'none'],
    [{ token: '(hidden)' }, 'token'],
    [{ readToken: '(hidden)' }, 'readToken'],
    [{ token: '(hidden)', readToken: '(hidden)' }, 'either'],
  ])('with %j says that the log-in is by: %s', (admin, login) => {
    expect(dashboardOf(found('http://127.0.0.1:1', admin)).login).toBe(login);
  });

  it.each([
    ['', {}],
    ['', null],
    ['http://127.0.0.1:1', { dashboard: false }],
  ])('says how to turn it on where it is off: %j %j', (listener, admin) => {
    expect(() => dashboardOf(found(listener, admin))).toThrow(
      /^The dashboard of shop is off\. Give the server admin: /,
    );
  });

  it.each([
    ['linux', {}, undefined],
    ['linux', { DISPLAY: '' }, undefined],
    ['linux', { DISPLAY: ':0' }, 'xdg-open'],
    ['freebsd', { WAYLAND_DISPLAY: 'wayland-0' }, 'xdg-open'],
    ['darwin', {}, 'open'],
    ['darwin', { SSH_CONNECTION: '10.0.0.1 1 10.0.0.2 22' }, undefined],
  ] as const)('on %s with %j opens the page by: %s', (platform, env, opener) => {
    expect(openerFor(platform, env)).toBe(opener);
  });

  it('is completed with its flags', () => {
    expect(candidates(createProgram(), ['dash'])).toEqual(['dashboard']);
    expect(candidates(createProgram(), ['dashboard', '--no'])).toEqual(['--no-open']);
  });
});
