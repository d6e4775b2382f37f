import { describe, expect, it } from 'vitest';
import { toPrometheus } from '../../src/control/metrics.js';
import { BUCKETS } from '../../src/memory/process-board.js';

describe('the text format of Prometheus', () => {
  it('has a help and a type for each family, and labels with escapes', () => {
    const text = toPrometheus([
      { name: 'a_total', help: 'All of it.', type: 'counter', samples: [{ labels: { name: 'a "b"\\\nc' }, value: 3 }] },
      { name: 'b', help: 'Nothing.', type: 'gauge', samples: [] },
      { name: 'c', help: 'Now.', type: 'gauge', samples: [{ labels: {}, value: 0.5 }] },
    ]);
    expect(text).toBe(
      '# HELP a_total All of it.\n# TYPE a_total counter\na_total{name="a \\"b\\"\\\\\\nc"} 3\n# HELP c Now.\n# TYPE c gauge\nc 0.5\n',
    );
  });

  it('has cumulative buckets that end with all', () => {
    const counts = Array.from({ length: BUCKETS }, (_, index) => (index < 2 || index === BUCKETS - 1 ? 1 : 0));
    const text = toPrometheus([
      {
        name: 'h',
        help: 'It.',
        type: 'histogram',
        samples: [{ labels: { worker: '0' }, value: { counts, seconds: 1.5 } }],
      },
    ]);
    expect(text).toContain('h_bucket{worker="0",le="0.000016"} 1\nh_bucket{worker="0",le="0.000032"} 2\n');
    expect(text).toContain('h_bucket{worker="0",le="+Inf"} 3\nh_sum{worker="0"} 1.5\nh_count{worker="0"} 3\n');
  });
});
