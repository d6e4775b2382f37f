import { useEffect, useRef, useState } from 'preact/hooks';
import { read } from '../api.ts';
import { timeOfDay } from '../format.ts';
import { Panel, useAnswer, Why } from '../parts.tsx';
import { state } from '../store.ts';
import type { LogLine } from '../types.ts';

const SHOWN = 300;

export function Log() {
  const [level, setLevel] = useState('');
  const [text, setText] = useState('');
  const newest = state.value?.log ?? 0;
  const given = { count: SHOWN, ...(level !== '' && { level }), ...(text !== '' && { text }) };
  const [report, why] = useAnswer(
    () => read<{ lines: readonly LogLine[] }>('log', given),
    [newest, level, text],
    10_000,
  );
  const list = useRef<HTMLOListElement>(null);
  useEffect(() => {
    const element = list.current;
    if (element === null) return;
    const isNearEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 200;
    if (isNearEnd || element.scrollTop === 0) element.scrollTop = element.scrollHeight;
  }, [report]);
  return (
    <Panel
      title="Log"
      aside={
        <div class="row">
          <select aria-label="Least level" value={level} onChange={(event) => setLevel(event.currentTarget.value)}>
            <option value="">all levels</option>
            {['debug', 'info', 'warn', 'error'].map((one) => (
              <option key={one} value={one}>{`${one} and above`}</option>
            ))}
          </select>
          <input
            type="search"
            aria-label="Text in the line"
            placeholder="text"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </div>
      }
    >
      <Why text={why} />
      {report?.lines.length === 0 && <p class="empty">No line fits.</p>}
      <ol class="log" ref={list} aria-label="Lines of the log, the newest last">
        {report?.lines.map((line) => (
          <li key={line.number} class={line.level}>
            <time>{timeOfDay(line.at)}</time> <span class="level">{line.level}</span>{' '}
            <span class="quiet">{line.source}</span> <span class="text">{line.text}</span>
          </li>
        ))}
      </ol>
    </Panel>
  );
}
