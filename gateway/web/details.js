// details.js - what is told under an answer: the segments' bar and one line of figures.
import { h } from './dom.js';
import { count, millis, plural, rate, tokenRate } from './format.js';
import { reuseBar, reuseLegend } from './segments.js';

/** "worker-2 · first token 38 ms (queue 0, pictures 12, prompt 20) · 61 tok/s · reused 412 of 455 positions" */
export function figures(d) {
  const t = d.timings ?? {};
  const u = d.usage ?? {};
  const parts = [];
  if (d.worker) parts.push(d.worker);
  if (t.first_token_ms > 0) {
    const inside = [`queue ${millis((t.queue_ms ?? 0) + (t.wait_ms ?? 0))}`];
    if (u.pictures) inside.push(`pictures ${millis(t.picture_ms ?? 0)}`);
    inside.push(`prompt ${millis(t.prefill_ms ?? 0)}`);
    parts.push(`first token ${millis(t.first_token_ms)} ms (${inside.join(', ')})`);
  }
  const speed = tokenRate(u, t);
  if (speed) parts.push(`${rate(speed)} tok/s`);
  if (u.prompt_positions)
    parts.push(`reused ${count(u.reused_positions)} of ${plural(u.prompt_positions, 'position')}`);
  if (d.attempts > 1) parts.push(`sent ${d.attempts} times`);
  return parts;
}

export function detailsBar(d, { legend = false } = {}) {
  const line = figures(d).join(' · ');
  return h('div', { class: 'details' },
    d.segments?.length ? reuseBar(d.segments) : null,
    h('div', { class: 'details-line' },
      h('p', { class: 'figures' }, line || 'No figures: it ended before it was read.'),
      legend && d.segments?.length ? reuseLegend() : null));
}
