/** A line chart of the last fifteen minutes. */
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { timeOfDay } from './format.ts';
import { history } from './store.ts';
import type { Rates } from './types.ts';

export interface Line {
  readonly label: string;
  readonly of: (point: Rates) => number;
  /** Name of a custom property with its colour. */
  readonly colour: string;
}

export interface ChartOf {
  readonly title: string;
  readonly lines: readonly Line[];
  readonly show: (value: number) => string;
}

const HEIGHT = 150;

export function Chart({ title, lines, show }: ChartOf) {
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  useEffect(() => {
    const element = holder.current;
    if (element === null) return;
    const made = new uPlot(optionsOf({ title, lines, show }, element), dataOf(lines), element);
    plot.current = made;
    const watcher = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    watcher.observe(element);
    return () => {
      watcher.disconnect();
      made.destroy();
    };
  }, []);
  const points = history.value;
  useEffect(() => plot.current?.setData(dataOf(lines)), [points]);
  const last = points.at(-1);
  return (
    <figure class="chart">
      <figcaption>
        <span class="title">{title}</span>
        {lines.map(({ label, of, colour }) => (
          <span key={label} class={`legend ${colour}`}>
            {label} {last === undefined ? '–' : show(of(last))}
          </span>
        ))}
      </figcaption>
      <div ref={holder} />
    </figure>
  );
}

function dataOf(lines: readonly Line[]): uPlot.AlignedData {
  const points = history.value;
  return [points.map(({ at }) => at / 1000), ...lines.map(({ of }) => points.map(of))];
}

function optionsOf({ lines, show }: ChartOf, element: HTMLElement): uPlot.Options {
  const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
  const axis = {
    stroke: () => colour('quiet'),
    font: '11px system-ui, sans-serif',
    grid: { stroke: () => colour('grid') },
    ticks: { show: false },
  };
  return {
    width: Math.max(element.clientWidth, 100),
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false },
    scales: { y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [
      { ...axis, space: 70, values: (_plot, values) => values.map((value) => timeOfDay(value * 1000).slice(0, 8)) },
      { ...axis, size: 64, values: (_plot, values) => values.map((value) => (value === null ? '' : show(value))) },
    ],
    series: [
      {},
      ...lines.map(({ label, colour: name }) => ({
        label,
        stroke: () => colour(name),
        width: 1.5,
        points: { show: false },
      })),
    ],
  };
}
