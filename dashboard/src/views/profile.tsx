import { useEffect, useRef, useState } from 'preact/hooks';
import { fetchBytes } from '../api.ts';
import { type CpuProfile, type Frame, layOut, neighbour } from '../flame.ts';
import { duration } from '../format.ts';
import { ActButton, Panel, tell } from '../parts.tsx';
import { mayChange, state } from '../store.ts';

const ROW = 18;
const LEAST_WIDTH = 0.4;

export function Profile() {
  const [target, setTarget] = useState('0');
  const [seconds, setSeconds] = useState(5);
  const [isRunning, setRunning] = useState(false);
  const [frames, setFrames] = useState<readonly Frame[] | null>(null);
  if (!mayChange.value) {
    return (
      <Panel title="Profile">
        <p class="empty">A profile needs the token that may change things.</p>
      </Panel>
    );
  }
  const of = /^\d+$/.test(target) ? Number(target) : target;
  const name = state.value?.workers.find(({ id }) => String(id) === target)?.name ?? target;
  const take = async (kind: 'cpu' | 'heap'): Promise<string> => {
    setRunning(true);
    try {
      const blob = await fetchBytes('profile', { target: of, kind, ...(kind === 'cpu' && { seconds }) });
      if (kind === 'cpu') setFrames(layOut(JSON.parse(await blob.text()) as CpuProfile));
      save(blob, kind === 'cpu' ? `process-${target}.cpuprofile` : `process-${target}.heapsnapshot`);
      return `The ${kind === 'cpu' ? 'CPU profile' : 'heap snapshot'} is taken`;
    } finally {
      setRunning(false);
    }
  };
  return (
    <Panel
      title="Profile"
      aside={
        <div class="row">
          <select aria-label="Process" value={target} onChange={(event) => setTarget(event.currentTarget.value)}>
            {state.value?.workers.map((worker) => (
              <option key={worker.id} value={String(worker.id)}>
                {worker.name}
              </option>
            ))}
            <option value="master">master</option>
            <option value="manager">manager</option>
          </select>
          <select
            aria-label="Seconds"
            value={seconds}
            onChange={(event) => setSeconds(Number(event.currentTarget.value))}
          >
            {[1, 5, 10, 30].map((one) => (
              <option key={one} value={one}>{`${one} s`}</option>
            ))}
          </select>
          <button type="button" class="primary" disabled={isRunning} onClick={() => void tell(() => take('cpu'))}>
            {isRunning ? 'Taking …' : 'CPU profile'}
          </button>
          <ActButton
            label="Heap snapshot"
            isReady={!isRunning}
            question={`Take a heap snapshot of ${name}? It stands still meanwhile, for seconds where its heap is large, and needs as much memory again.`}
            run={() => take('heap')}
          />
        </div>
      }
    >
      {frames === null ? (
        <p class="empty">
          A CPU profile is shown as a flame graph, and saved as a file for speedscope or Chrome's DevTools.
        </p>
      ) : (
        <FlameGraph frames={frames} />
      )}
    </Panel>
  );
}

function save(blob: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/**
 * A click on a frame makes it as wide as the graph; one on the bottom shows all again. By keys: the arrows choose a frame, Enter
 * makes it as wide as the graph, Escape shows all again.
 */
function FlameGraph({ frames }: { frames: readonly Frame[] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [root, setRoot] = useState<Frame | null>(null);
  const [hovered, setHovered] = useState<Frame | null>(null);
  const [chosen, setChosen] = useState<Frame | null>(null);
  const shown = root ?? frames[0];
  useEffect(() => {
    if (canvas.current !== null && shown !== undefined) draw(canvas.current, frames, { root: shown, chosen });
  }, [frames, shown, chosen]);
  if (shown === undefined) return <p class="empty">Nothing ran meanwhile: the process was idle.</p>;
  const at = (event: MouseEvent): Frame | null => {
    const { left, top, width } = (event.currentTarget as HTMLCanvasElement).getBoundingClientRect();
    return frameAt(frames, shown, {
      x: (event.clientX - left) / width,
      depth: Math.floor((event.clientY - top) / ROW),
    });
  };
  const told = hovered ?? chosen ?? shown;
  const press = (event: KeyboardEvent): void => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const { key } = event;
    if (key.startsWith('Arrow')) setChosen(chosen === null ? shown : neighbour(frames, chosen, key));
    else if (key === 'Enter') setRoot(chosen);
    else if (key === 'Escape') {
      setRoot(null);
      setChosen(null);
    } else return;
    event.preventDefault();
  };
  return (
    <>
      <p class="quiet flame-told" aria-live="polite">
        <strong>{told.name}</strong> {told.place} {duration(told.totalUs / 1000)} in all, {duration(told.selfUs / 1000)}{' '}
        in itself
      </p>
      <canvas
        ref={canvas}
        class="flame"
        tabIndex={0}
        aria-label={`Flame graph of ${frames.length} frames: arrow keys choose one, Enter makes it as wide as the graph, Escape shows all`}
        onKeyDown={press}
        onClick={(event) => setRoot(at(event))}
        onMouseMove={(event) => setHovered(at(event))}
        onMouseLeave={() => setHovered(null)}
      />
    </>
  );
}

interface Shown {
  readonly root: Frame;
  readonly chosen: Frame | null;
}

function draw(canvas: HTMLCanvasElement, frames: readonly Frame[], { root, chosen }: Shown): void {
  const width = canvas.parentElement?.clientWidth ?? 600;
  const height = (Math.max(...frames.map(({ depth }) => depth)) + 1) * ROW;
  const scale = devicePixelRatio;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext('2d');
  if (context === null) return;
  context.scale(scale, scale);
  context.font = '11px system-ui, sans-serif';
  context.textBaseline = 'middle';
  for (const frame of frames) {
    const [x, wide] = [((frame.from - root.from) / root.width) * width, (frame.width / root.width) * width];
    if (wide < LEAST_WIDTH || x + wide <= 0 || x >= width) continue;
    const left = Math.max(0, x);
    const visible = Math.min(width, x + wide) - left;
    context.fillStyle = `hsl(${colourOf(frame)} 65% 68%)`;
    context.fillRect(left, frame.depth * ROW, Math.max(visible - 1, LEAST_WIDTH), ROW - 1);
    if (frame === chosen) {
      context.strokeStyle = '#1d2422';
      context.lineWidth = 2;
      context.strokeRect(left + 1, frame.depth * ROW + 1, Math.max(visible - 3, 1), ROW - 3);
    }
    if (visible < 30) continue;
    context.fillStyle = '#1d2422';
    context.fillText(shorten(frame.name, visible), left + 4, frame.depth * ROW + ROW / 2);
  }
}

function shorten(text: string, width: number): string {
  const letters = Math.floor((width - 8) / 6);
  return text.length <= letters ? text : `${text.slice(0, Math.max(1, letters - 1))}…`;
}

/** The app's own files are warm, packages green, Node blue. */
function colourOf({ place, name }: Frame): number {
  let hash = 0;
  for (const letter of name) hash = (hash * 31 + letter.charCodeAt(0)) % 24;
  if (place === '' || place.startsWith('node:')) return 205 + hash;
  return (place.includes('node_modules') ? 130 : 28) + hash;
}

function frameAt(frames: readonly Frame[], root: Frame, { x, depth }: { x: number; depth: number }): Frame | null {
  const share = root.from + x * root.width;
  return frames.find((one) => one.depth === depth && one.from <= share && share < one.from + one.width) ?? null;
}
