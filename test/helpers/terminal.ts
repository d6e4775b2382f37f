/** A real terminal, by tmux: what is typed goes through a shell and a pseudo terminal, what is seen is what is drawn. */
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { poll } from './server-process.js';

export const HAS_TMUX = spawnSync('tmux', ['-V']).status === 0;

export class Terminal {
  readonly #socket: string;
  readonly #env: NodeJS.ProcessEnv;

  constructor(folder: string, env: NodeJS.ProcessEnv, columns = 80, rows = 24) {
    this.#socket = join(folder, 'tmux');
    this.#env = { ...env, TMUX: undefined, LC_ALL: 'C.UTF-8', PS1: '$ ' };
    this.#tmux('-f', '/dev/null', 'new-session', '-d', '-x', String(columns), '-y', String(rows), '-c', folder, 'sh');
  }

  type(text: string): void {
    this.#tmux('send-keys', '-l', text);
    this.#tmux('send-keys', 'Enter');
  }

  press(key: string): void {
    this.#tmux('send-keys', key);
  }

  get screen(): string {
    return this.#tmux('capture-pane', '-p');
  }

  async sees(what: RegExp | string, deadlineMs = 15_000): Promise<string> {
    let screen = '';
    try {
      await poll(
        String(what),
        () => {
          screen = this.screen;
          return typeof what === 'string' ? screen.includes(what) : what.test(screen);
        },
        deadlineMs,
      );
    } catch (error) {
      throw new Error(`${(error as Error).message}; on the screen is:\n${screen}`);
    }
    return screen;
  }

  close(): void {
    try {
      this.#tmux('kill-server');
    } catch {
      // its shell has ended
    }
  }

  #tmux(...args: string[]): string {
    return execFileSync('tmux', ['-S', this.#socket, ...args], { encoding: 'utf8', env: this.#env });
  }
}
