// explain.js - why a request went where it went: each worker's predicted time, in its parts.
import { h } from '../dom.js';
import { count, millis, plural } from '../format.js';
import { ownerChip } from '../owners.js';

const isCandidate = (w) => w.fits !== false && w.credit !== false;

/** The reason as a sentence. */
export function why(e) {
  const chosen = e.workers.find((w) => w.chosen);
  if (!chosen) return 'No worker was chosen.';
  const others = e.workers.filter((w) => !w.chosen && isCandidate(w));
  const holds = chosen.held_positions
    ? ` It held ${count(chosen.held_positions)} of the ${plural(e.prompt_positions, 'position')}.`
    : ' It held nothing of the prompt.';
  if (!others.length) return `${chosen.name} was the only worker that could take it.${holds}`;
  if (e.policy !== 'earliest') return `The policy “${e.policy}” chose ${chosen.name}.${holds}`;
  const next = others.reduce((a, b) => (b.total_ms < a.total_ms ? b : a));
  const ahead = next.total_ms - chosen.total_ms;
  if (ahead <= 0.05) return `${chosen.name} and ${next.name} were predicted to be equally early.${holds}`;
  return `${chosen.name}’s first token was predicted after ${millis(chosen.total_ms)} ms, ${millis(ahead)} ms before ${next.name}’s.${holds}`;
}

function state(w) {
  if (w.fits === false) return 'does not fit';
  if (w.credit === false) return 'had no room';
  return w.chosen ? 'chosen' : '';
}

export function explanation(e) {
  const workers = [...e.workers].sort((a, b) => Number(b.chosen) - Number(a.chosen) || a.total_ms - b.total_ms);
  const head = ['Worker', 'Holds positions', 'Pictures lacking', 'Wait', 'Pictures', 'Prompt', 'Predicted'];
  return h('div', { class: 'explanation' },
    h('p', null, why(e)),
    h('div', { class: 'table-wrap', tabindex: '0', role: 'region', 'aria-label': 'Workers compared' },
      h('table', { class: 'table' },
        h('thead', null, h('tr', null, head.map((t, i) => h('th', { scope: 'col', class: i ? 'number' : null }, t, i > 2 ? h('span', { class: 'unit' }, ' ms') : null)))),
        h('tbody', null, workers.map((w) => h('tr', { class: w.chosen ? 'chosen' : null },
          h('th', { scope: 'row' }, ownerChip(w.name), state(w) ? h('span', { class: 'badge', dataset: { state: w.chosen ? 'up' : 'drained' } }, state(w)) : null),
          h('td', { class: 'number' }, count(w.held_positions)),
          h('td', { class: 'number' }, count(w.missing_pictures)),
          ...[w.wait_ms, w.encode_ms, w.prefill_ms, w.total_ms].map((ms) => h('td', { class: 'number' }, millis(ms)))))))),
    h('p', { class: 'muted small' }, outcome(e)));
}

function outcome(e) {
  const predicted = e.predicted_ms > 0 ? `Predicted ${millis(e.predicted_ms)} ms` : 'Nothing was predicted';
  return e.first_token_ms > 0 ? `${predicted}, the first token came after ${millis(e.first_token_ms)} ms.` : `${predicted}.`;
}
