/** Figures as people read them. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** @returns `1.5 MiB` */
export function bytes(value: number): string {
  let [scaled, unit] = [value, 0];
  while (scaled >= 1024 && unit < UNITS.length - 1) {
    scaled /= 1024;
    unit++;
  }
  return `${unit === 0 || scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1)} ${UNITS[unit]}`;
}

/** @returns `12.3k`, `4.56M` */
export function count(value: number): string {
  if (value < 10_000) return Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 1 : 0);
  return value < 1e6 ? `${(value / 1e3).toFixed(value < 1e5 ? 1 : 0)}k` : `${(value / 1e6).toFixed(2)}M`;
}

/** @returns `450 µs`, `12 ms`, `3.2 s` */
export function duration(ms: number): string {
  if (ms === 0) return '0';
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : age(ms);
}

/** @param seconds 0: nothing was measured */
export function latency(seconds: number): string {
  return seconds === 0 ? '–' : duration(seconds * 1000);
}

/** @returns `45s`, `3m 20s`, `2h 5m`, `4d 3h` */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${seconds % 60}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ${Math.floor((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d ${Math.floor((seconds % 86_400) / 3600)}h`;
}

export function percent(share: number): string {
  return `${Math.round(share * 100)}%`;
}

/** @returns `2026-01-31 04:00:00`, as the viewer's machine has it */
export function dateAndTime(at: number): string {
  const date = new Date(at);
  const days = [date.getFullYear(), date.getMonth() + 1, date.getDate()];
  return `${days.map((value) => String(value).padStart(2, '0')).join('-')} ${timeOfDay(at).slice(0, 8)}`;
}

/** @returns the time of day with milliseconds, as the viewer's machine has it */
export function timeOfDay(at: number): string {
  const date = new Date(at);
  const two = (value: number): string => String(value).padStart(2, '0');
  const millis = String(date.getMilliseconds()).padStart(3, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${millis}`;
}
