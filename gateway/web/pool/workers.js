// workers.js - a card for each worker.
import { h, keyed, setAttr, setText } from '../dom.js';
import { bytes, count, duration, millis, rate } from '../format.js';
import { ownerChip } from '../owners.js';
import { drain, undrain } from './drain.js';
import { meter } from './meter.js';

const states = { up: 'up', draining: 'draining', drained: 'drained' };

/** Longer than a pool with usual settings bears it; where it may be longer, it is worth a word. */
const SILENT_MS = 20_000;

const perSecond = (us, unit) => (us ? `${rate(1e6 / us)} ${unit}/s` : 'unmeasured');

function facts(names) {
  const values = {};
  const element = h('dl', { class: 'facts' }, names.map((name) =>
    h('div', null, h('dt', null, name), (values[name] = h('dd')))));
  return { element, set: (name, text, title) => {
    setText(values[name], text);
    if (title !== undefined) setAttr(values[name], 'title', title);
  } };
}

function card(first, isAdmin) {
  let worker = first;
  const state = h('span', { class: 'badge' });
  const model = h('p', { class: 'model' });
  const load = meter('In flight');
  const pages = meter('Pages in use', { isScarce: true });
  setAttr(pages.element, 'title', 'Of keys and values, by requests under way. The others keep what can be reused, until they are needed.');
  const table = facts(['Prompt', 'Answer', 'Picture tile', 'Memory', 'Answered', 'Incarnation']);
  const button = h('button', { type: 'button', class: 'button small' });
  const trouble = h('p', { class: 'error-text', role: 'alert' });
  button.addEventListener('click', async () => {
    trouble.textContent = '';
    button.disabled = true;
    try {
      await (worker.state === 'up' ? drain(worker.name) : undrain(worker.name));
    } catch (failure) {
      trouble.textContent = failure.message;
    }
    button.disabled = false;
    button.focus();
  });
  const element = h('li', { class: 'worker-card', dataset: { worker: first.name } },
    h('div', { class: 'worker-top' }, h('h3', null, ownerChip(first.name)), state, button),
    model, load.element, pages.element, table.element, trouble);
  return { element, update(next) {
    worker = next;
    const silent = worker.silent_ms > SILENT_MS;
    setText(state, silent ? `silent for ${duration(worker.silent_ms)}` : states[worker.state] ?? worker.state);
    setAttr(state, 'data-state', silent ? 'silent' : worker.state);
    setText(model, worker.model);
    setAttr(model, 'title', `${worker.model}; chat template ${worker.template || 'unknown'}${worker.tools ? `; tools as ${worker.tools}` : ''}; context of ${count(worker.context)} positions`);
    load.set(worker.in_flight, worker.credits, `${count(worker.in_flight)} of ${count(worker.credits)}`);
    const used = worker.pages_total - worker.pages_free;
    pages.set(used, worker.pages_total, `${count(used)} of ${count(worker.pages_total)}`);
    table.set('Prompt', perSecond(worker.prefill_us_per_position, 'pos'));
    table.set('Answer', perSecond(worker.decode_us_per_token, 'tok'));
    table.set('Picture tile', worker.tile_us ? `${millis(worker.tile_us / 1000)} ms` : 'unmeasured');
    table.set('Memory', bytes(worker.rss_bytes), `${bytes(worker.feature_bytes)} of it keeps pictures’ embeddings; ${count(worker.pages_evicted)} pages evicted`);
    table.set('Answered', worker.failed ? `${count(worker.done)}, ${count(worker.failed)} broken off` : count(worker.done));
    table.set('Incarnation', worker.incarnation.slice(0, 8), `${worker.incarnation}, process ${worker.pid}`);
    button.hidden = !isAdmin();
    const what = worker.state === 'up' ? 'Drain' : 'Undrain';
    setText(button, what);
    setAttr(button, 'aria-label', `${what} ${worker.name}`);
  } };
}

export class Workers {
  admin = false;
  #list = h('ul', { class: 'workers' });
  #none = h('p', { class: 'muted' }, 'No worker is there. Requests wait or are refused until one comes.');
  element = h('div', null, this.#list, this.#none);

  update(pool) {
    const sorted = [...pool.workers].sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
    keyed(this.#list, sorted, (w) => w.name, (w) => card(w, () => this.admin));
    this.#none.hidden = sorted.length > 0;
  }
}
