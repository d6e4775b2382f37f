/** One figure of `/metrics`, with all its samples. */
import type { Histogram } from '../memory/process-board.js';

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels: Labels;
  readonly value: number | Histogram;
}

export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly samples: readonly Sample[];
}

type Family = (name: string, help: string, ...samples: (Sample | undefined)[]) => MetricFamily;

const family =
  (type: MetricFamily['type']): Family =>
  (name, help, ...samples) => ({
    name: `tswoole_${name}`,
    help,
    type,
    samples: samples.filter((sample) => sample !== undefined),
  });
export const counter = family('counter');
export const gauge = family('gauge');
export const histogram = family('histogram');
export const sample = (value: number | Histogram, labels: Labels = {}): Sample => ({ labels, value });
