import type { TcpClient } from './tcp-client.js';

interface TaskFailure {
  readonly name: string;
  readonly code?: string;
  readonly message: string;
  readonly detail?: unknown;
  readonly stack?: string;
  readonly cause?: string;
}

interface Answer {
  readonly value?: unknown;
  readonly error?: TaskFailure;
}

/** Has a worker of fixtures/tasks.js run `code`, the body of an async function. @returns what it returned */
export async function run<T = unknown>(client: TcpClient, code: string, deadlineMs?: number): Promise<T> {
  const { value, error } = await answerTo(client, code, deadlineMs);
  if (error !== undefined) throw Object.assign(new Error(`${error.code}: ${error.message}`), error);
  return value as T;
}

/** The same for code that must fail. @returns its error */
export async function runToFail(client: TcpClient, code: string): Promise<TaskFailure> {
  const { value, error } = await answerTo(client, code);
  if (error === undefined) throw new Error(`it was to fail, and gave ${JSON.stringify(value)}`);
  return error;
}

async function answerTo(client: TcpClient, code: string, deadlineMs?: number): Promise<Answer> {
  return JSON.parse(await client.ask(JSON.stringify(code.replaceAll('\n', ' ')), deadlineMs)) as Answer;
}
