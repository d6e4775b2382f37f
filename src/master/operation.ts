/**
 * The operating parts of a server: its pid file, its note in the run directory, its control socket, the rotation
 * of its log, notifications of systemd. It is open from the beginning of the start to the last moment, so that a
 * server that does not come up, or does not end, can be seen. Runs in the master.
 */
import { prepareAccessFile } from '../access-log/access-log.js';
import { AdminServer } from '../control/admin.js';
import type { CommandTable } from '../control/commands.js';
import type { Controlled } from '../control/controlled.js';
import { PidFile } from '../control/pid-file.js';
import {
  listEntries,
  makeRunDir,
  type RunEntry,
  removeEntry,
  runDirFor,
  socketIn,
  writeEntry,
} from '../control/run-dir.js';
import { ControlServer } from '../control/server.js';
import { ServerError } from '../errors/index.js';
import type { Region } from '../memory/region.js';
import { accessLogOf } from '../options/access-log.js';
import type { ResolvedOptions } from '../options/index.js';
import { processStartTime } from '../os/other-process.js';
import type { Log } from '../util/log.js';
import { CronReload } from './cron-reload.js';
import { leaveNotice } from './daemon.js';
import { LogRotator } from './log-rotator.js';
import { ServiceNotifier } from './notify.js';
import { ScriptWatcher } from './script-watcher.js';

export interface OperationParts {
  readonly options: ResolvedOptions;
  readonly controlled: Controlled;
  readonly commands: CommandTable;
  readonly log: Log;
  readonly region: Region;
  /** The note without the fields that are the same for every server. */
  readonly note: Omit<RunEntry, 'pid' | 'processStart' | 'socket'>;
}

export class Operation {
  readonly #parts: OperationParts;
  readonly #runDir: string;
  readonly #notifier = ServiceNotifier.take();
  #pidFile: PidFile | undefined;
  #control: ControlServer | undefined;
  readonly #rotators: LogRotator[] = [];
  #admin: AdminServer | undefined;
  #watcher: ScriptWatcher | undefined;
  #cron: CronReload | undefined;
  #cannotReopen = false;

  constructor(parts: OperationParts) {
    this.#parts = parts;
    this.#runDir = runDirFor(parts.options.runDir);
  }

  /** @throws ServerError ERR_PID_FILE_LOCKED, ERR_PID_FILE */
  async open(): Promise<void> {
    process.on('exit', () => this.#removeFiles());
    this.#lockPidFile();
    await this.#openControl();
    await this.#openAdmin();
    this.#rotateLogs();
  }

  #rotateLogs(): void {
    const { options, log } = this.#parts;
    if (options.logRotation === null) return;
    for (const path of this.#logFiles()) {
      const rotator = new LogRotator(path, options.logRotation, () => this.#reopen(), log);
      rotator.start();
      this.#rotators.push(rotator);
    }
  }

  #logFiles(): string[] {
    const { options } = this.#parts;
    return [options.logFile, accessLogOf(options)?.file ?? ''].filter((path) => path !== '');
  }

  /** For a timer or a signal, which nobody waits for: what cannot be opened is logged, once. */
  #reopen(): boolean {
    try {
      this.#reopenAll();
      this.#cannotReopen = false;
    } catch (error) {
      if (!this.#cannotReopen)
        this.#parts.log.error('a log file cannot be opened again', { reason: (error as Error).message });
      this.#cannotReopen = true;
    }
    return !this.#cannotReopen;
  }

  /** One that cannot be opened does not keep the others from it. @throws ServerError ERR_LOG_FILE */
  #reopenAll(): void {
    const { options, region, log } = this.#parts;
    const prepared = tried(accessLogOf(options)?.file ?? '', () => prepareAccessFile(options));
    region.reopenLogs();
    const opened = tried(options.logFile, () => log.reopen());
    const failed = opened ?? prepared;
    if (failed !== undefined) throw failed;
  }

  /** Clients can connect. */
  ready(listening: readonly string[]): void {
    this.#notifier?.ready(`listening on ${listening.join(', ')}`);
    const { options, controlled, log, region } = this.#parts;
    const reload = () => controlled.reload(false);
    this.#watcher = ScriptWatcher.start(options.watch, log, reload);
    const isReloading = () => region.isReloading;
    this.#cron = CronReload.start({ expression: options.cronReload, log, isReloading, reload });
  }

  /** Empty while there is none. */
  get adminUrl(): string {
    return this.#admin?.url ?? '';
  }

  /** The server has begun to shut down. */
  stopping(): void {
    this.#notifier?.stopping();
    this.#watcher?.stop();
    this.#cron?.stop();
  }

  async close(): Promise<void> {
    for (const rotator of this.#rotators) rotator.stop();
    this.#notifier?.close();
    await this.#control?.close();
    await this.#admin?.close();
    this.#removeFiles();
  }

  /** For someone who waits for it. @throws ServerError ERR_LOG_FILE */
  reopenLogs(): void {
    if (this.#logFiles().length === 0) return;
    this.#reopenAll();
    this.#cannotReopen = false;
    this.#parts.log.info('the log files are opened again');
  }

  /** By SIGWINCH. Terminals send it too: without a file there is nothing to do. */
  signalled(): void {
    if (this.#logFiles().length > 0 && this.#reopen()) this.#parts.log.info('the log files are opened again');
  }

  #lockPidFile(): void {
    const { pidFile: path } = this.#parts.options;
    if (path === '') return;
    this.#pidFile = PidFile.acquire(path);
    const { leftover } = this.#pidFile;
    if (leftover !== 0)
      this.#parts.log.info('the pid file was left by a server that was killed', { path, leftBy: leftover });
  }

  /** @throws ServerError ERR_PORT_IN_USE, ERR_PORT_PRIVILEGED, ERR_LISTEN */
  async #openAdmin(): Promise<void> {
    const { options, controlled, commands, log } = this.#parts;
    if (options.admin === null) return;
    const admin = new AdminServer(options.admin, controlled, commands, log);
    await admin.listen();
    this.#admin = admin;
    log.info('the admin listener is up', { url: admin.url });
  }

  /**
   * A server that cannot be controlled runs all the same: the log has the reason. But a run directory that was
   * named, and is another user's or a link, is a reason not to start. @throws ServerError ERR_RUN_DIR
   */
  async #openControl(): Promise<void> {
    const { options, commands, log } = this.#parts;
    if (!options.control) return;
    const control = new ControlServer(commands, log);
    try {
      makeRunDir(this.#runDir);
      removeEntry(this.#runDir, process.pid); // of a killed server that had this pid
      await control.listen(socketIn(this.#runDir, process.pid));
      this.#control = control;
      this.#tellNamesakes();
      this.#writeNote();
    } catch (error) {
      if (options.runDir !== '' && error instanceof ServerError && error.is('ERR_RUN_DIR')) throw error;
      log.warn('the server cannot be controlled by "tswoole"', { reason: (error as Error).message });
    }
  }

  /** Both are there on purpose at times: two of one program, on two ports. */
  #tellNamesakes(): void {
    const { note, log } = this.#parts;
    const pids = listEntries(this.#runDir)
      .filter(({ name }) => name === note.name)
      .map(({ pid }) => pid);
    if (pids.length === 0) return;
    const message =
      'another server of this name runs: commands want the pid in place of the name; "name" tells them apart';
    log.warn(message, { name: note.name, pids });
    leaveNotice(
      `Another server called ${note.name} runs (pid ${pids.join(', ')}): commands want the pid in place of the name. --name gives a server another one.`,
    );
  }

  #writeNote(): void {
    const { pid } = process;
    const processStart = processStartTime(pid) ?? '';
    writeEntry(this.#runDir, { pid, processStart, socket: socketIn(this.#runDir, pid), ...this.#parts.note });
  }

  #removeFiles(): void {
    this.#pidFile?.remove();
    this.#pidFile = undefined;
    if (this.#control === undefined) return;
    this.#control = undefined;
    try {
      removeEntry(this.#runDir, process.pid);
    } catch {
      // the next process that reads it finds it to be stale
    }
  }
}

function tried(path: string, open: () => void): ServerError | undefined {
  try {
    open();
    return undefined;
  } catch (error) {
    return new ServerError('ERR_LOG_FILE', { path, why: (error as Error).message });
  }
}
