/** Requests to the admin listener. */
import type { Session } from './types.ts';

/** A refused request, with what the server says. */
export class Refused extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

let csrf = '';

export async function readSession(): Promise<Session> {
  const session = (await ask('/dashboard/session')) as Session;
  csrf = session.csrf;
  return session;
}

/** @throws Refused 401 wrong token, 429 too many tries */
export async function logIn(token: string): Promise<void> {
  await ask('/login', { method: 'POST', headers: json, body: JSON.stringify({ token }) });
}

export async function logOut(): Promise<void> {
  await ask('/logout', { method: 'POST', headers: { ...json, 'x-tswoole-csrf': csrf }, body: '{}' });
}

/** A command that changes nothing. */
export async function read<T>(command: string, given: Readonly<Record<string, string | number>> = {}): Promise<T> {
  const query = new URLSearchParams(Object.entries(given).map(([name, value]) => [name, String(value)]));
  return (await ask(`/api/${command}?${query}`)) as T;
}

/** A command that changes something. */
export async function change<T>(command: string, given: object = {}): Promise<T> {
  return (await ask(`/api/${command}`, changing(given))) as T;
}

/** @returns the bytes of the answer, such as a profile */
export async function fetchBytes(command: string, given: object): Promise<Blob> {
  const response = await fetch(`/api/${command}`, changing(given));
  if (!response.ok) throw await refusalOf(response);
  return response.blob();
}

const json = { 'content-type': 'application/json' };

function changing(given: object): RequestInit {
  return { method: 'POST', headers: { ...json, 'x-tswoole-csrf': csrf }, body: JSON.stringify(given) };
}

async function ask(path: string, init: RequestInit = {}): Promise<unknown> {
  const response = await fetch(path, { cache: 'no-store', ...init });
  if (!response.ok) throw await refusalOf(response);
  return response.status === 204 ? undefined : response.json();
}

async function refusalOf(response: Response): Promise<Refused> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as { error: { code: string; message: string } };
    return new Refused(response.status, error.code, error.message);
  } catch {
    return new Refused(response.status, `HTTP_${response.status}`, text.slice(0, 300));
  }
}
