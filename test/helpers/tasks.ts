import { TcpClient } from './tcp-client.js';

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

/** @returns a client for each worker of fixtures/tasks.js, by worker id */
export async function clientPerWorker(port: number, workers: number): Promise<TcpClient[]> {
  const clients: TcpClient[] = [];
  for (let tries = 0; tries < 10 * workers && Object.keys(clients).length < workers; tries++) {
    const client = await TcpClient.connect(port);
    const id = await run<number>(client, 'return server.workerId');
    if (clients[id] === undefined) clients[id] = client;
  }
  return clients;
}
