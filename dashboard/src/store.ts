/** What the page knows: the session, the newest state, the history. Views read signals; only this file writes them. */
import { computed, effect, signal } from '@preact/signals';
import { read, readSession } from './api.ts';
import { mergeState, ratesOf } from './merge.ts';
import type { Rates, Session, State } from './types.ts';

/** Points that are shown: fifteen minutes. */
const MOST_POINTS = 900;
const RETRY_MS = 1000;

export const session = signal<Session | null>(null);
export const state = signal<State | null>(null);
export const history = signal<readonly Rates[]>([]);
/** Requests per second of each process, by its id. */
export const requestRates = signal<ReadonlyMap<number, number>>(new Map());
/** `lost` while the stream is interrupted: what is shown is as it last was. */
export const link = signal<'waiting' | 'live' | 'lost'>('waiting');
export const view = signal(location.hash.slice(2) || 'overview');
export const mayChange = computed(() => session.value?.readOnly === false);
/** A dialog or a message to the person. */
export const notice = signal<{ readonly kind: 'done' | 'failed'; readonly text: string } | null>(null);

let stream: EventSource | undefined;
let retry: ReturnType<typeof setTimeout> | undefined;

addEventListener('hashchange', () => {
  view.value = location.hash.slice(2) || 'overview';
});
effect(() => {
  const name = state.value?.status.name ?? session.value?.name ?? '';
  document.title = name === '' ? 'tswoole' : `${name} · tswoole`;
});

/** Begins, or begins again after a log-in or a lost stream. */
export async function connect(): Promise<void> {
  clearTimeout(retry);
  stream?.close();
  try {
    session.value = await readSession();
    if (!session.value.loggedIn) {
      state.value = null;
      return;
    }
    const { points } = await read<{ points: Rates[] }>('history');
    history.value = points;
    listen();
  } catch {
    lose();
  }
}

function listen(): void {
  const opened = new EventSource('/dashboard/events');
  stream = opened;
  opened.addEventListener('state', ({ data }) => {
    link.value = 'live';
    take(JSON.parse(data) as Partial<State>);
  });
  const again = (): void => {
    opened.close();
    if (stream === opened) lose();
  };
  opened.addEventListener('end', again);
  opened.addEventListener('error', again);
}

function lose(): void {
  if (session.value !== null) link.value = 'lost';
  retry = setTimeout(() => void connect(), RETRY_MS);
}

/** Later events hold only what has changed. */
function take(delta: Partial<State>): void {
  const before = state.value;
  const now = mergeState(before, delta);
  requestRates.value = ratesOf(before, now, requestRates.value);
  state.value = now;
  const point = delta.rates;
  if (point && point.at !== history.value.at(-1)?.at) history.value = [...history.value, point].slice(-MOST_POINTS);
}
