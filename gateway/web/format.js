// format.js - figures as people read them: few digits, units always there.

const number = new Intl.NumberFormat('en');

export const count = (n) => number.format(Math.round(n ?? 0));
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** 0.4 -> "0.4", 38.2 -> "38", 1234 -> "1,234": milliseconds without their unit. */
export function millis(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms >= 10 || ms === 0) return count(ms);
  return ms < 0.05 ? '<0.1' : ms.toFixed(1);
}

/** 38 -> "38 ms", 2500 -> "2.5 s", 150000 -> "2 min 30 s" */
export function duration(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms < 1000) return `${millis(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} days`;
}

export function bytes(n) {
  if (!n) return '0 B';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(Math.floor(Math.log2(n) / 10), units.length - 1);
  const value = n / 1024 ** power;
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

export function percent(part, whole) {
  if (!whole) return '–';
  const share = (100 * part) / whole;
  return `${share >= 99.95 || share === 0 ? share.toFixed(0) : share.toFixed(1)} %`;
}

/** A rate with three digits: 1234 -> "1,234", 61.2 -> "61", 4.37 -> "4.4" */
export const rate = (n) => (n >= 10 ? count(n) : n.toFixed(1));

export function ago(seconds, now = Date.now() / 1000) {
  const age = Math.max(0, now - seconds);
  if (age < 2) return 'now';
  if (age < 60) return `${Math.floor(age)} s ago`;
  if (age < 3600) return `${Math.floor(age / 60)} min ago`;
  if (age < 86400) return `${Math.floor(age / 3600)} h ago`;
  return `${Math.floor(age / 86400)} d ago`;
}

const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
export const time = (seconds) => clock.format(new Date(seconds * 1000));

export const shortId = (hex) => (hex ?? '').slice(0, 8);

/** Tokens a second, as `quire ask` reckons them: the first token belongs to the prompt. */
export function tokenRate(usage, timings) {
  const tokens = (usage?.answer_tokens ?? 0) - 1;
  return tokens > 0 && timings?.decode_ms > 0 ? (tokens * 1000) / timings.decode_ms : null;
}
