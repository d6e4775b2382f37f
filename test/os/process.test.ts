import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { resolveOptions } from '../../src/options/index.js';
import { replaceProcess } from '../../src/os/exec.js';
import { exitWithoutTeardown } from '../../src/os/exit.js';
import { bindToCore, checkIsolation, coreFor, giveUpRights, settleIn } from '../../src/os/isolation.js';
import { libc, viewMemory } from '../../src/os/libc.js';
import { ignoreLostOutput } from '../../src/os/lost-output.js';
import { environmentOf, processStartTime, processUsage } from '../../src/os/other-process.js';
import { allowedCores, become, findIdentity, runOnCore } from '../../src/os/privileges.js';
import { becomeSubreaper, findEndedChild, reapChild, setThreadName } from '../../src/os/process.js';
import { setProcessTitle } from '../../src/os/process-title.js';
import { eventually } from '../helpers/eventually.js';

/** With the moment when Node has reaped them. */
const children: [ChildProcess, Promise<unknown>][] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  for (const [child] of children) child.kill('SIGKILL');
  await Promise.all(children.splice(0).map(([, hasEnded]) => hasEnded));
});

/** In a shell: a child that lives until the shell's input ends. Its pid is printed. */
const WAITING_CHILD = 'exec 3<&0; cat <&3 >/dev/null & echo $!';

/** A process that runs until the test ends; what it prints first. */
async function shell(script: string, env: NodeJS.ProcessEnv = {}) {
  const child = spawn('/bin/sh', ['-c', script], { env, stdio: ['pipe', 'pipe', 'ignore'] });
  const hasEnded = new Promise((resolve) => child.once('exit', resolve));
  children.push([child, hasEnded]);
  const printed = await new Promise<string>((resolve) => child.stdout.once('data', (data) => resolve(String(data))));
  return { pid: child.pid as number, printed: printed.trim(), letGo: () => child.stdin.end(), hasEnded };
}

const onLinux = process.platform === 'linux';
/** From field 3 of proc(5) stat on. */
const statOf = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');

describe.runIf(onLinux)('another process', () => {
  it('is told from a later one with its pid by when it began', () => {
    expect(processStartTime(process.pid)).toBe(statOf(process.pid)[22 - 3]);
    expect(processStartTime(2 ** 22 + 1)).toBeUndefined();
  });

  it('may have any name', () => {
    const before = processStartTime(process.pid);
    const name = readFileSync('/proc/self/comm', 'latin1').trim();
    setThreadName(') Z 1 2 3');
    expect(processStartTime(process.pid)).toBe(before);
    setThreadName(name);
  });

  it('is gone when it has ended, although nobody has reaped it', async () => {
    // Not before the shell has become a program that reaps nobody.
    const { pid: parent, printed, letGo } = await shell(`${WAITING_CHILD}; exec 3<&-; exec sleep 600 </dev/null`);
    await eventually(() => expect(readFileSync(`/proc/${parent}/comm`, 'latin1')).toBe('sleep\n'));
    const pid = Number(printed);
    expect(processStartTime(pid)).toBe(statOf(pid)[22 - 3]);
    letGo();
    await eventually(() => expect(statOf(pid)[0]).toBe('Z'));
    expect(processStartTime(pid)).toBeUndefined();
  });

  it('has used memory, and time of all kinds', () => {
    const end = performance.now() + 60;
    while (performance.now() < end) readFileSync('/proc/self/stat');
    const usage = processUsage(process.pid);
    const { user, system } = process.cpuUsage();
    const seconds = (user + system) / 1e6;
    expect(Math.abs((usage?.cpuSeconds ?? 0) - seconds)).toBeLessThan(0.1);
    const resident = process.memoryUsage.rss();
    expect(Math.abs((usage?.residentBytes ?? 0) / resident - 1)).toBeLessThan(0.2);
    expect(processUsage(2 ** 22 + 1)).toBeUndefined();
  });

  it('shows the environment it was started with', async () => {
    const { pid } = await shell('echo x; exec sleep 600', { A: 'b=c', EMPTY: '' });
    // The shell becomes sleep: in between the kernel has nothing to show.
    await eventually(() => expect(environmentOf(pid)).toMatchObject({ A: 'b=c', EMPTY: '' }));
    expect(Object.keys(environmentOf(pid) ?? {})).not.toContain('');
    expect(environmentOf(2 ** 22 + 1)).toBeUndefined();
    // So a server is started again with the caller's environment, not with none.
    const { pid: bare } = await shell('echo x; exec env -i sleep 600');
    await eventually(() => expect(environmentOf(bare)).toBeUndefined());
  });
});

describe.runIf(onLinux)('children that Node does not know of', () => {
  const PR_SET_CHILD_SUBREAPER = 36;

  it('come to us when their parent ends, are found when they end, and are reaped', async () => {
    becomeSubreaper();
    const { printed, hasEnded } = await shell(WAITING_CHILD);
    await hasEnded; // and with it the pipe that its child waits for
    const pid = Number(printed);
    const parent = Number(statOf(pid)[4 - 3]);
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
    expect(parent).toBe(process.pid);
    await eventually(() => expect(findEndedChild()).toBe(pid));
    expect(findEndedChild()).toBe(pid); // still there
    expect(reapChild(pid)).toBe(true);
    expect(findEndedChild()).toBe(0);
    expect(reapChild(pid)).toBe(true); // gone
  });

  it('are left alone while they run', async () => {
    const { pid } = await shell('echo x; exec sleep 600');
    expect(reapChild(pid)).toBe(false);
    expect(findEndedChild()).toBe(0);
  });
});

describe.runIf(onLinux)('the name of a thread, and the title of a process', () => {
  it('are what top and ps show', () => {
    const title = process.title;
    setThreadName('a name that is too long');
    expect(readFileSync('/proc/self/comm', 'latin1')).toBe('a name that is \n');
    const long = `tswoole: ${'x'.repeat(5000)}`;
    setProcessTitle(long);
    expect(readFileSync('/proc/self/comm', 'latin1')).toBe('tswoole: xxxxxx\n');
    const shown = readFileSync('/proc/self/cmdline', 'latin1');
    // Where the kernel refuses another place for it, the title is as long as there is room.
    expect([`${long}\0`, process.title]).toContain(shown.startsWith(long) ? shown : shown.replace(/\0.*$/s, ''));
    setProcessTitle(title);
    expect(process.title).toBe(title);
  });
});

describe.runIf(onLinux)('the map of memory that a longer title needs', () => {
  /** struct prctl_mm_map (prctl(2)), each with its field in proc(5) stat. */
  const FIELDS = [
    ...[['start_code', 26] as const, ['end_code', 27] as const, ['start_data', 45] as const, ['end_data', 46] as const],
    ...[['start_brk', 47] as const, ['brk', 0] as const, ['start_stack', 28] as const, ['arg_start', 0] as const],
    ...[['arg_end', 0] as const, ['env_start', 50] as const, ['env_end', 51] as const],
  ];

  it('is as it was but for the arguments', () => {
    const title = process.title;
    let map = Buffer.alloc(0);
    vi.spyOn(libc, 'prctl').mockImplementation((what, ...given) => {
      if (what !== 35) return 0; // PR_SET_MM
      const [how, address, size] = given;
      expect([how, size]).toEqual([14, 104]); // PR_SET_MM_MAP
      map = Buffer.from(Buffer.from(viewMemory(address, size)));
      return 0;
    });
    const heap = /^[0-9a-f]+-([0-9a-f]+) .*\[heap\]$/m.exec(readFileSync('/proc/self/maps', 'latin1'))?.[1];
    setProcessTitle(`x${'y'.repeat(5000)}`);
    process.title = title;
    if (heap === undefined) return expect(map).toHaveLength(0); // a kernel that does not tell is not asked
    const stat = statOf(process.pid);
    const at = (name: string): bigint => map.readBigUInt64LE(8 * FIELDS.findIndex(([known]) => known === name));
    for (const [name, field] of FIELDS)
      if (field > 0) expect([name, at(name)]).toEqual([name, BigInt(stat[field - 3] ?? 0)]);
    expect(at('brk') % 4096n).toBe(0n);
    expect(at('brk')).toBeGreaterThanOrEqual(BigInt(`0x${heap}`));
    const shown = Buffer.from(viewMemory(Number(at('arg_start')), Number(at('arg_end') - at('arg_start'))));
    expect(shown.toString('latin1')).toBe(`x${'y'.repeat(5000)}\0`);
    expect([map.readBigUInt64LE(88), map.readInt32LE(100)]).toEqual([0n, -1]);
  });
});

describe('becoming another program', () => {
  /** The texts behind a table of pointers, up to the null pointer. */
  function textsOf(table: Buffer): string[] {
    const texts: string[] = [];
    for (let at = 0; table.readBigUInt64LE(at) !== 0n; at += 8) {
      const bytes = new Uint8Array(viewMemory(Number(table.readBigUInt64LE(at)), 64));
      texts.push(Buffer.from(bytes.subarray(0, bytes.indexOf(0))).toString());
    }
    return texts;
  }

  it('hands over arguments, environment, and the standard descriptors', () => {
    const seen: unknown[] = [];
    vi.spyOn(libc, 'execve').mockImplementation((file, argv, env) => {
      seen.push(file, textsOf(argv), textsOf(env));
      return -1;
    });
    const kept = vi.spyOn(libc, 'fcntl').mockReturnValue(0);
    expect(() => replaceProcess('/no/such', ['--ä', ''], { A: '1', B: 'ü=' })).toThrow();
    expect(seen).toEqual(['/no/such', ['/no/such', '--ä', ''], ['A=1', 'B=ü=']]);
    // fcntl(2): F_SETFD without FD_CLOEXEC
    expect(kept.mock.calls).toEqual([
      [0, 2, 0],
      [1, 2, 0],
      [2, 2, 0],
    ]);
  });

  it.each([
    ['/no/such', 'ENOENT'],
    ['/', 'EACCES'],
  ])('says why it does not become %s: %s', (file, code) => {
    vi.spyOn(libc, 'fcntl').mockReturnValue(0);
    expect(() => replaceProcess(file, [], {})).toThrow(
      expect.objectContaining({ code, message: `execve ${file} failed: ${code}` }),
    );
  });

  it('hands over the sockets of systemd', () => {
    vi.spyOn(libc, 'execve').mockReturnValue(-1);
    const kept = vi.spyOn(libc, 'fcntl').mockReturnValue(0);
    expect(() => replaceProcess('/no/such', [], { LISTEN_FDS: '2' })).toThrow();
    expect(kept.mock.calls.map(([descriptor]) => descriptor)).toEqual([0, 1, 2, 3, 4]);
  });
});

describe('leaving without a teardown', () => {
  const node = process as unknown as { reallyExit(code?: number): void };
  const { reallyExit, execArgv } = node as unknown as { reallyExit(): void; execArgv: string[] };
  afterEach(() => {
    node.reallyExit = reallyExit;
    process.execArgv = execArgv;
  });

  it('gives the standard descriptors their flags back', () => {
    vi.stubEnv('NODE_V8_COVERAGE', undefined);
    process.execArgv = [];
    const calls: unknown[] = [];
    // fcntl(2): F_GETFL is 3, F_SETFL is 4
    vi.spyOn(libc, 'fcntl').mockImplementation((descriptor, what, flags) => {
      if (what === 4) calls.push([descriptor, flags]);
      return descriptor === 1 ? -1 : 100 + descriptor;
    });
    vi.spyOn(libc, '_exit').mockImplementation((code) => void calls.push(code) as never);
    exitWithoutTeardown();
    node.reallyExit(7);
    expect(calls).toEqual([[0, 100], [2, 102], 7]);
    node.reallyExit();
    expect(calls.at(-1)).toBe(0);
  });

  it('is not for a process that is measured', () => {
    vi.stubEnv('NODE_V8_COVERAGE', '/tmp/x');
    process.execArgv = [];
    exitWithoutTeardown();
    expect(node.reallyExit).toBe(reallyExit);
    vi.stubEnv('NODE_V8_COVERAGE', undefined);
    process.execArgv = ['--cpu-prof'];
    exitWithoutTeardown();
    expect(node.reallyExit).toBe(reallyExit);
  });
});

describe('output that is lost', () => {
  it.each(['stdout', 'stderr'] as const)('does not end the process: %s', (name) => {
    const property = Object.getOwnPropertyDescriptor(process, name) as PropertyDescriptor;
    let made = 0;
    const heard: string[] = [];
    const stream = { on: (event: string) => void heard.push(event) };
    const get = (): unknown => {
      made++;
      return stream;
    };
    Object.defineProperty(process, name, { configurable: true, enumerable: true, get });
    try {
      ignoreLostOutput();
      expect(made).toBe(0); // not before it is used
      expect(process[name]).toBe(stream);
      expect(process[name]).toBe(stream);
      expect(heard).toEqual(['error']);
    } finally {
      Object.defineProperty(process, name, property);
    }
  });

  it('leaves streams alone that somebody else has put there', () => {
    const property = Object.getOwnPropertyDescriptor(process, 'stdout') as PropertyDescriptor;
    const stream = { on: vi.fn() };
    Object.defineProperty(process, 'stdout', { configurable: true, value: stream });
    ignoreLostOutput();
    const after: unknown = process.stdout;
    Object.defineProperty(process, 'stdout', property);
    expect(after).toBe(stream);
    expect(stream.on).not.toHaveBeenCalled();
  });
});

describe('who a process is', () => {
  const { uid, gid, username } = userInfo();
  const word = expect.any(Number);

  it('is found by name or number', () => {
    expect(findIdentity(username, '')).toEqual({ uid, gid, name: username });
    expect(findIdentity('', '')).toEqual({ uid, gid, name: undefined });
    expect(findIdentity(String(uid), '')).toEqual({ uid, gid, name: String(uid) });
    expect(findIdentity('', '77')).toEqual({ uid, gid: 77, name: undefined });
    expect(findIdentity('4242424', '')).toEqual({ uid: 4_242_424, gid: 4_242_424, name: '4242424' });
    expect(findIdentity('4242424', '77')).toEqual({ uid: 4_242_424, gid: 77, name: '4242424' });
  });

  it('is unknown where the system does not know it', () => {
    expect(findIdentity('no-such-user', '')).toEqual({ unknown: 'no-such-user' });
    expect(findIdentity(username, 'no-such-group')).toEqual({ unknown: 'no-such-group' });
  });

  it.runIf(onLinux)('may have a group by its name', () => {
    expect(findIdentity('', 'daemon')).toMatchObject({ uid, gid: word });
    expect(findIdentity('', 'daemon')).toMatchObject({ gid: Number(spawnSync('id', ['-g', 'daemon']).stdout) });
  });

  const callsOfProcess = process as unknown as Record<string, () => unknown>;

  /** The order in which rights are given up. */
  function steps(): unknown[] {
    const done: unknown[] = [];
    const note = (name: string) => ((...given: unknown[]) => void done.push([name, ...given])) as never;
    for (const name of ['setgroups', 'initgroups', 'setgid', 'setuid'] as const) {
      vi.spyOn(callsOfProcess, name).mockImplementation(note(name));
    }
    vi.spyOn(libc, 'chroot').mockImplementation((root) => {
      done.push(['chroot', root]);
      return 0;
    });
    return done;
  }

  it('is changed groups first, user last', () => {
    const done = steps();
    const cwd = process.cwd();
    become({ uid: 1, gid: 2, name: 'www' }, '/srv');
    const root = process.cwd();
    process.chdir(cwd);
    expect(done).toEqual([
      ['initgroups', 'www', 2],
      ['setgid', 2],
      ['chroot', '/srv'],
      ['setuid', 1],
    ]);
    expect(root).toBe('/');
  });

  it.each([undefined, '4242'])('has only its own group without a name: %s', (name) => {
    const done = steps();
    become({ uid: 1, gid: 2, name }, '');
    expect(done).toEqual([
      ['setgroups', [2]],
      ['setgid', 2],
      ['setuid', 1],
    ]);
  });

  it('is not changed where its root cannot be', () => {
    const done = steps();
    vi.mocked(libc.chroot).mockReturnValue(-1);
    expect(() => become({ uid: 1, gid: 2, name: undefined }, '/srv')).toThrow(/chroot failed/);
    expect(done).not.toContainEqual(['setuid', 1]);
  });

  it('is given up in processes with code of the user, where that was asked for', () => {
    const done = steps();
    giveUpRights(resolveOptions({}), () => {});
    expect(done).toEqual([]);
    giveUpRights(resolveOptions({ user: '4242', group: '77' }), () => {});
    expect(done).toEqual([
      ['setgroups', [77]],
      ['setgid', 77],
      ['setuid', 4242],
    ]);
    expect(() => giveUpRights(resolveOptions({ user: 'no-such-user' }), () => {})).toThrow(
      expect.objectContaining({ code: 'ERR_USER' }),
    );
  });

  it('is checked at the start', () => {
    const root = vi.spyOn(callsOfProcess, 'geteuid').mockReturnValue(0);
    const check = (options: object): string => {
      try {
        checkIsolation(resolveOptions(options));
        return 'fine';
      } catch (error) {
        return (error as Error).message.replaceAll('\n', ' ');
      }
    };
    expect(check({ user: username })).toBe('fine');
    expect(check({ user: 'no-such-user' })).toMatch(/"?user"?.*no-such-user|no-such-user.*user/);
    expect(check({ group: 'no-such-group' })).toMatch(/"?group"?.*no-such-group|no-such-group.*group/);
    expect(check({ chroot: tmpdir() })).toBe('fine');
    expect(check({ chroot: '.', workingDir: tmpdir() })).toBe('fine');
    expect(check({ chroot: '/no-such-folder' })).toMatch(/"chroot" must be a folder.*"\/no-such-folder" \(ENOENT\)/);
    expect(check({ chroot: '/dev/null' })).toMatch(/"chroot" must be a folder.*"\/dev\/null" \(ENOTDIR\)/);
    for (const id of ['4294967295', '99999999999']) {
      expect(check({ user: id })).toMatch(new RegExp(`"user" must name a user.*"${id}"`));
      expect(check({ group: id })).toMatch(new RegExp(`"group" must name a group.*"${id}"`));
    }
    expect(check({ user: '4294967294' })).toBe('fine');
    root.mockReturnValue(1);
    expect(check({})).toBe('fine');
    for (const name of ['user', 'group', 'chroot']) {
      expect(check({ [name]: name === 'chroot' ? tmpdir() : '77' })).toContain(name);
    }
  });
});

describe.runIf(onLinux)('the cores of a process', () => {
  /** /proc/thread-self/status lists them as `0-3,6`. */
  const listed = (): number[] => {
    const text = /^Cpus_allowed_list:\s+(\S+)$/m.exec(readFileSync('/proc/thread-self/status', 'latin1'))?.[1] ?? '';
    return text.split(',').flatMap((range) => {
      const [first = 0, last = first] = range.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
  };
  const restore = (): void => {
    const mask = Buffer.alloc(128);
    for (const core of before) mask[core >> 3] = (mask[core >> 3] ?? 0) | (1 << (core & 7));
    libc.sched_setaffinity(0, mask.length, mask);
  };
  const before = onLinux ? allowedCores() : [];

  it('are those the kernel says', () => {
    expect(allowedCores()).toEqual(listed());
  });

  it('may be one for each', () => {
    const core = before.at(-1) as number;
    bindToCore(-1);
    expect(allowedCores()).toEqual(before);
    runOnCore(core);
    const pinned = allowedCores();
    restore();
    bindToCore(before[0] as number);
    const bound = allowedCores();
    restore();
    expect([pinned, bound, allowedCores()]).toEqual([[core], [before[0]], before]);
    expect(() => runOnCore(1023)).toThrow(/sched_setaffinity failed: EINVAL/);
  });

  it('are found in the mask wherever they stand', () => {
    vi.spyOn(libc, 'sched_getaffinity').mockImplementation((_pid, _length, mask) => {
      mask[0] = 0b1000_0001;
      mask[2] = 0b10;
      mask[127] = 0b1000_0000;
      return 128;
    });
    expect(allowedCores()).toEqual([0, 7, 17, 1023]);
    vi.mocked(libc.sched_getaffinity).mockReturnValue(-1);
    expect(allowedCores()).toEqual([]);
    const masks: Buffer[] = [];
    vi.spyOn(libc, 'sched_setaffinity').mockImplementation((_pid, _length, mask) => masks.push(mask));
    runOnCore(17);
    expect([...(masks[0] ?? [])].flatMap((byte, at) => (byte === 0 ? [] : [[at, byte]]))).toEqual([[2, 2]]);
  });

  it('go round where there are more processes than cores', () => {
    const options = (cpuAffinity: object): Parameters<typeof coreFor>[0] => ({ ...resolveOptions({}), ...cpuAffinity });
    expect([0, 1, 2, 3].map((n) => coreFor(options({ cpuAffinity: [4, 2] }), n))).toEqual([4, 2, 4, 2]);
    expect(coreFor(options({ cpuAffinity: [] }), 1)).toBe(-1);
    expect(coreFor(options({ cpuAffinity: 'all' }), before.length)).toBe(before[0]);
  });

  it('must be allowed ones', () => {
    const options = { ...resolveOptions({}), cpuAffinity: [before[0] as number, 1000, 1001] };
    expect(() => checkIsolation(options)).toThrow(
      expect.objectContaining({ code: 'ERR_CORES', message: expect.stringContaining('1000, 1001') }),
    );
    expect(() => checkIsolation({ ...options, cpuAffinity: before })).not.toThrow();
    vi.spyOn(libc, 'sched_getaffinity').mockReturnValue(-1);
    expect(() => checkIsolation(options)).not.toThrow(); // nobody knows
  });
});

describe('the place of a process', () => {
  it('is the folder and the umask that were chosen, or the ones it has', () => {
    const [cwd, umask] = [process.cwd(), process.umask()];
    settleIn({ ...resolveOptions({}), umask: -1, workingDir: '' });
    const left = [process.cwd(), process.umask()];
    settleIn({ ...resolveOptions({}), umask: 0, workingDir: '/' });
    const chosen = [process.cwd(), process.umask()];
    process.chdir(cwd);
    process.umask(umask);
    expect(left).toEqual([cwd, umask]);
    expect(chosen).toEqual(['/', 0]);
  });

  it.each([
    ['/no-such-folder', 'ENOENT'],
    ['/dev/null', 'ENOTDIR'],
  ])('is not a folder that cannot be entered: %s', (workingDir, code) => {
    const received = expect.stringContaining(`"${workingDir}" (${code})`);
    expect(() => settleIn({ ...resolveOptions({}), umask: -1, workingDir })).toThrow(
      expect.objectContaining({
        code: 'ERR_OPTION_VALUE',
        detail: expect.objectContaining({ name: 'workingDir', received }),
      }),
    );
  });
});
