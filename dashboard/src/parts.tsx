/** Pieces that several views are made of. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Refused } from './api.ts';
import { mayChange, notice } from './store.ts';

export function Panel({
  title,
  aside,
  children,
}: {
  title: string;
  aside?: ComponentChildren;
  children: ComponentChildren;
}) {
  return (
    <section class="panel">
      <header>
        <h2>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  );
}

export function Figure({ label, value, tone = '' }: { label: string; value: string; tone?: string }) {
  return (
    <div class={`figure ${tone}`}>
      <span class="value">{value}</span>
      <span class="label">{label}</span>
    </div>
  );
}

/** A share of 1 as a bar with its figure. */
export function Bar({ share }: { share: number }) {
  const ref = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    // By the object model: the page's policy forbids style attributes.
    ref.current?.style.setProperty('width', `${Math.min(100, Math.round(share * 100))}%`);
  }, [share]);
  return (
    <span class={`bar ${share > 0.9 ? 'high' : ''}`}>
      <span class="filling" ref={ref} />
      <span class="text">{Math.round(share * 100)}%</span>
    </span>
  );
}

export interface Column<T> {
  readonly title: string;
  readonly show: (row: T) => ComponentChildren;
  readonly isNumber?: boolean;
}

export function Table<T>({ columns, rows, keyOf, empty }: TableOf<T>) {
  if (rows.length === 0) return <p class="empty">{empty}</p>;
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>
            {columns.map(({ title, isNumber }) => (
              <th key={title} scope="col" class={isNumber ? 'number' : ''}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map(({ title, show, isNumber }) => (
                <td key={title} class={isNumber ? 'number' : ''}>
                  {show(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export interface TableOf<T> {
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  readonly keyOf: (row: T) => string | number;
  readonly empty: string;
}

export interface Act {
  readonly label: string;
  /** What the person is asked before. */
  readonly question: string;
  readonly isDangerous?: boolean;
  /** Default: it can be pressed at any time. */
  readonly isReady?: boolean;
  /** @returns what is told afterwards */
  readonly run: () => Promise<string>;
}

/** A button that asks before it acts; not there for those who may only look. */
export function ActButton({ label, question, run, isDangerous = false, isReady = true }: Act) {
  const [isAsking, setAsking] = useState(false);
  const [isRunning, setRunning] = useState(false);
  if (!mayChange.value) return null;
  const act = async (): Promise<void> => {
    setAsking(false);
    setRunning(true);
    await tell(run);
    setRunning(false);
  };
  return (
    <>
      <button
        type="button"
        class={isDangerous ? 'danger' : ''}
        disabled={isRunning || !isReady}
        onClick={() => setAsking(true)}
      >
        {isRunning ? `${label} …` : label}
      </button>
      {isAsking && <Question text={question} label={label} onYes={() => void act()} onNo={() => setAsking(false)} />}
    </>
  );
}

function Question({ text, label, onYes, onNo }: { text: string; label: string; onYes: () => void; onNo: () => void }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => ref.current?.showModal(), []);
  return (
    <dialog ref={ref} onCancel={onNo} aria-label={label}>
      <p>{text}</p>
      <div class="row end">
        <button type="button" onClick={onNo}>
          Cancel
        </button>
        <button type="button" class="primary" onClick={onYes}>
          {label}
        </button>
      </div>
    </dialog>
  );
}

/** Runs it, and tells its result or why it failed. */
export async function tell(run: () => Promise<string>): Promise<void> {
  try {
    notice.value = { kind: 'done', text: await run() };
  } catch (error) {
    const text = error instanceof Refused ? `${error.code}: ${error.message}` : String(error);
    notice.value = { kind: 'failed', text };
  }
}

/** What a command answers: asked again whenever `asked` changes, and every few seconds while the view is open. */
export function useAnswer<T>(ask: () => Promise<T>, asked: readonly unknown[], everyMs = 2000): [T | null, string] {
  const [answer, setAnswer] = useState<T | null>(null);
  const [why, setWhy] = useState('');
  useEffect(() => {
    let isOpen = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async (): Promise<void> => {
      const [found, failure] = await settle(ask);
      if (!isOpen) return;
      if (found !== null) setAnswer(() => found);
      setWhy(failure);
      timer = setTimeout(() => void look(), everyMs);
    };
    void look();
    return () => {
      isOpen = false;
      clearTimeout(timer);
    };
  }, asked);
  return [answer, why];
}

/** @returns the answer, or null and why there is none */
async function settle<T>(ask: () => Promise<T>): Promise<[T | null, string]> {
  try {
    return [await ask(), ''];
  } catch (error) {
    return [null, error instanceof Error ? error.message : String(error)];
  }
}

export function Why({ text }: { text: string }) {
  return text === '' ? null : <p class="empty">{text}</p>;
}
