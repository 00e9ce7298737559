// row.js - one request: a line of figures, and all about it when opened.
import * as api from '../api.js';
import { detailsBar } from '../details.js';
import { freshId, h, setAttr, setText } from '../dom.js';
import { count, duration, percent, time } from '../format.js';
import { icon } from '../icons.js';
import { ownerChip } from '../owners.js';
import { explanation } from './explain.js';
import { bigWaterfall, waterfall } from './waterfall.js';

const outcomeWords = (outcome) => (outcome === 'io' ? 'no broker' : outcome.replaceAll('-', ' '));
const kind = (outcome) => (outcome === 'done' ? 'good' : outcome === 'cancelled' ? 'quiet' : 'bad');
const cell = (className, label, ...content) => h('span', { class: `cell ${className}` }, h('span', { class: 'visually-hidden' }, `${label}: `), content);

function facts(r) {
  const list = [
    ['Request', r.request_id],
    ['At the broker', r.id],
    ['Asked as', `${r.dialect}${r.stream ? ', streamed' : ''}`],
    ['Model', r.model],
    ['Status', String(r.status)],
    ['Tenant', r.tenant],
    ['Tries', r.attempts > 1 ? count(r.attempts) : ''],
    ['Answer', r.usage?.answer_tokens ? `${count(r.usage.answer_tokens)} tokens` : ''],
    ['Pictures', r.usage?.pictures ? `${count(r.usage.pictures)}, ${count(r.usage.pictures_encoded)} looked at anew` : ''],
  ];
  return h('dl', { class: 'facts' }, list.filter(([, value]) => value).map(([name, value]) =>
    h('div', null, h('dt', null, name), h('dd', null, value))));
}

function opened(r) {
  const why = h('div', { class: 'why' }, h('p', { class: 'muted' }, 'Asking why it went there…'));
  if (r.worker)
    api.explain(r.id).then(
      (e) => why.replaceChildren(explanation(e)),
      (failure) => why.replaceChildren(h('p', { class: 'muted' }, failure.status === 404 ? 'The broker no longer remembers how this was decided.' : failure.message)));
  else why.replaceChildren(h('p', { class: 'muted' }, 'It never reached a worker.'));
  return h('div', { class: 'opened' },
    h('section', { 'aria-label': 'Times' }, h('h3', null, 'Times'), bigWaterfall(r)),
    h('section', { 'aria-label': 'Segments' }, h('h3', null, 'Segments'), r.segments?.length || r.usage?.prompt_positions ? detailsBar(r, { legend: true }) : h('p', { class: 'muted' }, 'Nothing of it was read.')),
    h('section', { 'aria-label': 'Why there' }, h('h3', null, 'Why there'), why),
    h('section', { 'aria-label': 'Facts' }, h('h3', null, 'Facts'), facts(r)));
}

/** Gives {element, scale(longest)}: the thin waterfall is drawn against the longest request shown. */
export function requestRow(r) {
  const id = freshId('request');
  const bar = h('span', { class: 'cell bar' });
  const panel = h('div', { id, hidden: true });
  const button = h('button', { type: 'button', class: 'request', 'aria-expanded': 'false', 'aria-controls': id },
    icon('right'),
    cell('when', 'Time', time(r.started)),
    cell('outcome', 'Outcome', h('span', { class: 'badge', dataset: { kind: kind(r.outcome) } }, outcomeWords(r.outcome))),
    cell('worker', 'Worker', r.worker ? ownerChip(r.worker) : '–'),
    cell('reuse', 'Reused', r.usage?.prompt_positions ? h('span', { title: `${count(r.usage.reused_positions)} of ${count(r.usage.prompt_positions)} positions` }, percent(r.usage.reused_positions, r.usage.prompt_positions)) : '–'),
    cell('first', 'First token', r.first_ms === null || r.first_ms === undefined ? '–' : duration(r.first_ms)),
    cell('total', 'Total', duration(r.total_ms)),
    bar);
  let isFilled = false;
  button.addEventListener('click', () => {
    const open = panel.hidden;
    if (open && !isFilled) panel.append(opened(r));
    isFilled ||= open;
    panel.hidden = !open;
    setAttr(button, 'aria-expanded', String(open));
  });
  let drawnFor = 0;
  return {
    element: h('li', { dataset: { request: r.request_id, outcome: r.outcome } }, button, panel),
    scale(longest) {
      if (longest === drawnFor) return;
      drawnFor = longest;
      bar.replaceChildren(waterfall(r, longest));
    },
  };
}

export const columnHeads = () => {
  const names = { when: 'Started', outcome: 'Outcome', worker: 'Worker', reuse: 'Reused', first: 'First token', total: 'Total', bar: 'Where the time went' };
  const heads = h('div', { class: 'request heads', 'aria-hidden': 'true' }, h('span', { class: 'icon' }));
  for (const [name, text] of Object.entries(names)) {
    const head = h('span', { class: `cell ${name}` });
    setText(head, text);
    heads.append(head);
  }
  return heads;
};
