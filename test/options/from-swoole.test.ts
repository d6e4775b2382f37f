import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { fromSwoole, resolveOptions, type UnusedSetting } from '../../src/options/index.js';

const turn = (settings: Record<string, unknown>): [object, UnusedSetting[]] => {
  const unused: UnusedSetting[] = [];
  return [fromSwoole(settings, { unused: (setting) => unused.push(setting) }), unused];
};

describe("Swoole's settings", () => {
  it('become options, with their units and numbers', () => {
    const [options, unused] = turn({
      worker_num: 4,
      reactor_num: 2,
      task_worker_num: 3,
      max_request: 1000,
      max_wait_time: 5,
      dispatch_mode: 2,
      heartbeat_idle_time: 600,
      heartbeat_check_interval: 60,
      open_tcp_nodelay: false,
      log_level: 4,
      package_max_length: 1024,
      max_conn: 500,
    });
    expect(options).toEqual({
      workerNum: 4,
      reactorNum: 2,
      taskWorkerNum: 3,
      maxRequest: 1000,
      maxWaitMs: 5000,
      dispatchMode: 'fd-mod',
      heartbeatIdleMs: 600_000,
      heartbeatCheckMs: 60_000,
      noDelay: false,
      logLevel: 'warn',
      packageMaxLength: 1024,
      maxConnections: 500,
    });
    expect(unused).toEqual([]);
    expect(() => resolveOptions(options)).not.toThrow();
  });

  it('of HTTP become options of HTTP', () => {
    const [options, unused] = turn({
      open_http_protocol: true,
      open_http2_protocol: false,
      max_concurrency: 100,
      http_compression: true,
      http_compression_level: 5,
      compression_min_length: 200,
      enable_static_handler: true,
      document_root: '/srv/public',
      static_handler_locations: ['/static', '/app/images'],
    });
    expect(options).toEqual({
      protocol: 'http',
      http2: false,
      maxConcurrency: 100,
      compression: { level: 5, minLength: 200 },
      staticFiles: [
        { root: '/srv/public/static', prefix: '/static', fallthrough: false },
        { root: '/srv/public/app/images', prefix: '/app/images', fallthrough: false },
      ],
    });
    expect(unused).toEqual([]);
    expect(() => resolveOptions(options)).not.toThrow();
    expect(turn({ http_compression: false })[0]).toEqual({ compression: false });
  });

  it('of WebSocket become options of WebSocket, or are named with what is in their place', () => {
    const [options, unused] = turn({ open_websocket_protocol: true, websocket_compression: true });
    expect(options).toEqual({ protocol: 'websocket', websocketCompression: true });
    expect(unused).toEqual([]);
    const names = ['open_websocket_close_frame', 'open_websocket_ping_frame', 'open_websocket_pong_frame'];
    const [none, told] = turn(Object.fromEntries([...names, 'websocket_subprotocol'].map((name) => [name, true])));
    expect(none).toEqual({});
    expect(told.map(({ name }) => name)).toEqual([...names, 'websocket_subprotocol']);
  });

  it.each([
    [
      { open_eof_split: true, package_eof: '\r\n' },
      { type: 'eof', delimiter: '\r\n', split: true },
    ],
    [{ open_eof_check: true }, { type: 'eof', delimiter: '\r\n\r\n', split: false }],
    [
      { open_length_check: true, package_length_type: 'n', package_length_offset: 2, package_body_offset: 4 },
      { type: 'length', field: 'n', offset: 2, bodyOffset: 4 },
    ],
    [{ open_length_check: true }, { type: 'length', field: 'N', offset: 0, bodyOffset: 4 }],
    [{ open_length_check: false, package_length_type: 'N' }, undefined],
  ])('of framing become one: %j', (settings, framing) => {
    const [options] = turn(settings);
    expect(options).toEqual(framing === undefined ? {} : { framing });
    expect(() => resolveOptions(options)).not.toThrow();
  });

  it('take the heartbeat as twice its interval when only that is given', () => {
    expect(turn({ heartbeat_check_interval: 30 })[0]).toEqual({ heartbeatCheckMs: 30_000, heartbeatIdleMs: 60_000 });
  });

  it('without a counterpart are named, with the reason', () => {
    const [options, unused] = turn({ enable_coroutine: true, dispatch_func: () => 0, worker_num: 1 });
    expect(options).toEqual({ workerNum: 1 });
    expect(unused.map(({ name }) => name)).toEqual(['enable_coroutine', 'dispatch_func']);
    expect(unused[1]?.why).toContain('dispatchMode');
  });

  it.each([undefined, null, 5, 'worker_num', 1n, new Map([['worker_num', 2]])])('are not %o', (settings) => {
    expect(() => fromSwoole(settings as never)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_TYPE' }));
  });

  it('that Swoole does not have either are refused, with the nearest name', () => {
    expect(() => turn({ worker_nun: 4 })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_UNKNOWN', detail: { name: 'worker_nun', nearest: 'worker_num' } }),
    );
  });

  it.each([[{ dispatch_mode: 6 }], [{ dispatch_mode: 'x' }], [{ max_wait_time: '3' }], [{ log_level: 9 }]])(
    'with a value that means nothing are refused: %j',
    (settings) => {
      expect(() => turn(settings)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_VALUE' }));
    },
  );
});

describe('a setting that changes nothing', () => {
  const index = new URL('../../dist/index.js', import.meta.url).href;
  const script = `import { fromSwoole } from '${index}'; fromSwoole({ http_parse_post: true });`;
  const warnings = (environment: Record<string, string>): number => {
    const args = ['--input-type=module', '--eval', script];
    const { stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env: { ...process.env, ...environment } });
    return stderr.split('TSWOOLE_SETTING').length - 1;
  };

  it('is warned of by the process that is started, not by those it starts', () => {
    expect([warnings({}), warnings({ TSWOOLE_CHILD: '{}' })]).toEqual([1, 0]);
  });
});
