import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Fifo } from '../../src/util/fifo.js';

describe('Fifo', () => {
  it('gives back what was pushed, in order, through growth and wrapping', () => {
    const steps = fc.array(fc.oneof(fc.record({ push: fc.integer() }), fc.constant('shift' as const)), {
      maxLength: 400,
    });
    fc.assert(
      fc.property(steps, (list) => {
        const fifo = new Fifo<number>();
        const model: number[] = [];
        for (const step of list) {
          if (step === 'shift') expect(fifo.shift()).toBe(model.shift());
          else {
            fifo.push(step.push);
            model.push(step.push);
          }
          expect(fifo.size).toBe(model.length);
          expect(fifo.peek()).toBe(model[0]);
        }
      }),
    );
  });

  it('holds far more than it began with', () => {
    const fifo = new Fifo<number>();
    for (let i = 0; i < 10; i++) fifo.push(-1);
    for (let i = 0; i < 10; i++) fifo.shift();
    for (let i = 0; i < 5000; i++) fifo.push(i);
    for (let i = 0; i < 5000; i++) expect(fifo.shift()).toBe(i);
    expect(fifo.shift()).toBeUndefined();
  });
});
