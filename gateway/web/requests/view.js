// view.js - the last requests, newest first.
import * as api from '../api.js';
import { h, keyed, setText } from '../dom.js';
import { plural } from '../format.js';
import { columnHeads, requestRow } from './row.js';
import { phaseLegend } from './waterfall.js';

const LIMIT = 100;
const filters = {
  all: { label: 'All', test: () => true },
  answered: { label: 'Answered', test: (r) => r.outcome === 'done' },
  rest: { label: 'Not answered', test: (r) => r.outcome !== 'done' },
};

export class RequestsView {
  title = 'Requests';
  #records = [];
  #rows = new Map();
  #filter = 'all';
  #admitted = false;

  constructor(live) {
    this.note = h('p', { class: 'muted pad' }, 'Nobody has asked anything since the gateway started.');
    this.list = h('ol', { class: 'requests', 'aria-label': 'Requests' });
    const choices = h('div', { class: 'choices', role: 'group', 'aria-label': 'Which requests' },
      Object.entries(filters).map(([name, { label }]) => h('button', { type: 'button', class: 'choice', dataset: { filter: name },
        'aria-pressed': String(name === 'all'), onclick: () => this.#choose(name) }, label)));
    this.choices = choices;
    this.table = h('div', { class: 'panel requests-panel' }, h('div', { class: 'requests-top' }, h('h2', null, 'Requests'), choices, phaseLegend()), columnHeads(), this.list, this.note);
    this.element = h('div', { class: 'view page', tabindex: '-1' }, this.table);
    live.addEventListener('request', (event) => this.#add([event.detail]));
    live.addEventListener('state', () => live.state === 'live' && this.#load());
  }

  admit() {
    this.#admitted = true;
    this.#records = []; // another key may see others
    this.#load();
  }

  show() {
    this.visible = true;
    this.#draw();
  }

  hide() {
    this.visible = false;
  }

  async #load() {
    if (!this.#admitted) return;
    try {
      this.#add((await api.recent(LIMIT)).requests);
    } catch (failure) {
      if (!this.#records.length) setText(this.note, failure.message);
    }
  }

  #add(records) {
    const known = new Set(this.#records.map((r) => r.request_id));
    const fresh = records.filter((r) => !known.has(r.request_id));
    if (fresh.length || !this.#records.length)
      this.#records = [...fresh, ...this.#records].sort((a, b) => b.started - a.started).slice(0, LIMIT);
    this.#draw();
  }

  #choose(name) {
    this.#filter = name;
    for (const button of this.choices.children) button.setAttribute('aria-pressed', String(button.dataset.filter === name));
    this.#draw();
  }

  #draw() {
    if (!this.visible) return;
    const shown = this.#records.filter(filters[this.#filter].test);
    keyed(this.list, shown, (r) => r.request_id, (r) => {
      const row = requestRow(r);
      this.#rows.set(r.request_id, row);
      return row;
    });
    const longest = Math.max(1, ...shown.map((r) => r.total_ms ?? 0));
    for (const [id, row] of this.#rows) {
      if (row.element.isConnected) row.scale(longest);
      else this.#rows.delete(id);
    }
    this.note.hidden = shown.length > 0;
    if (this.#records.length) setText(this.note, `None of the last ${plural(this.#records.length, 'request')} is of this kind.`);
    else setText(this.note, 'Nobody has asked anything since the gateway started.');
  }
}
