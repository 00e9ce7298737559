// waterfall.js - where the time of a request went: waiting, pictures, the prompt, the answer.
import { h, svg } from '../dom.js';
import { duration, millis } from '../format.js';

const phases = [
  { name: 'rest', label: 'on the way' },
  { name: 'queue', label: 'queue', of: (t) => (t.queue_ms ?? 0) + (t.wait_ms ?? 0) },
  { name: 'picture', label: 'pictures', of: (t) => t.picture_ms ?? 0 },
  { name: 'prefill', label: 'prompt', of: (t) => t.prefill_ms ?? 0 },
  { name: 'decode', label: 'answer', of: (t) => t.decode_ms ?? 0 },
];

const SMALL = 0.02; // of the whole: less is not worth a part of its own

/**
 * The phases of a record with their times. What the pool's four do not explain was spent between
 * the gateway and the worker: before the first token (`rest`, first) or after it (`sent`, last).
 */
export function parts(record) {
  const t = record.timings ?? {};
  const list = phases.slice(1).map((p) => ({ name: p.name, label: p.label, ms: p.of(t) }));
  const sum = list.reduce((all, p) => all + p.ms, 0);
  const total = Math.max(record.total_ms ?? 0, sum);
  // A request that never reached a worker has only waited.
  if (sum === 0) return total > 0 ? [{ name: 'queue', label: 'queue', ms: total }] : [];
  const untilFirst = sum - t.decode_ms;
  const before = Math.min(total - sum, Math.max(0, (record.first_ms ?? 0) - untilFirst));
  const after = total - sum - before;
  if (before > SMALL * total) list.unshift({ name: 'rest', label: 'on the way', ms: before });
  if (after > SMALL * total) list.push({ name: 'rest', label: 'sending', ms: after });
  return list.filter((p) => p.ms > 0);
}

const HEIGHT = 14;

/** A thin bar; `longest` (ms) is as wide as the whole. */
export function waterfall(record, longest) {
  const list = parts(record);
  const words = list.map((p) => `${p.label} ${millis(p.ms)} ms`).join(', ');
  const scale = 1000 / Math.max(longest, 1e-3);
  let x = 0;
  const rects = list.map((p) => {
    const width = Math.max(p.ms * scale, 2); // what there was can be seen
    const rect = svg('rect', { class: `phase-${p.name}`, x, y: 1, width, height: HEIGHT - 2 });
    x += width;
    return rect;
  });
  return svg('svg', { class: 'waterfall', viewBox: `0 0 1000 ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img',
    'aria-label': words || 'no times' }, rects);
}

/** Each phase on a line of its own, beginning where the one before ended. */
export function bigWaterfall(record) {
  const list = parts(record);
  const total = list.reduce((all, p) => all + p.ms, 0) || 1;
  let from = 0;
  return h('dl', { class: 'big-waterfall' }, list.map((p) => {
    const filled = h('span', { class: `phase phase-${p.name}` });
    filled.style.marginLeft = `${(100 * from) / total}%`;
    filled.style.width = `${Math.max(0.4, (100 * p.ms) / total)}%`;
    from += p.ms;
    return h('div', null, h('dt', null, p.label), h('dd', null, h('span', { class: 'track' }, filled), h('span', { class: 'number' }, duration(p.ms))));
  }));
}

export const phaseLegend = () =>
  h('p', { class: 'legend' }, phases.map((p) => h('span', null, h('span', { class: `key phase-${p.name}` }), p.label)));
