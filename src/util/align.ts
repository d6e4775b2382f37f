/** The next multiple of `unit`, or `value` itself if it is one. */
export function alignTo(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
