// percentiles.js - times to the first token and between tokens.
import { h, setText } from '../dom.js';
import { count, millis } from '../format.js';

const shares = ['p50', 'p90', 'p99'];
const rows = { first_token: 'First token', per_token: 'Per token' };

export class Percentiles {
  #cells = {};
  #note = h('p', { class: 'note muted small' });
  element = h('div', null,
    h('table', { class: 'table figures-table' },
      h('caption', { class: 'visually-hidden' }, 'Percentiles of the last five minutes, in milliseconds'),
      h('thead', null, h('tr', null, h('td', null, 'ms'), shares.map((p) => h('th', { scope: 'col' }, p)))),
      h('tbody', null, Object.entries(rows).map(([name, label]) => h('tr', null, h('th', { scope: 'row' }, label),
        shares.map((p) => (this.#cells[`${name}.${p}`] = h('td'))))))),
    this.#note);

  update({ percentiles }) {
    for (const name of Object.keys(rows))
      for (const p of shares)
        setText(this.#cells[`${name}.${p}`], percentiles[name]?.count ? millis(percentiles[name][p]) : '–');
    const n = percentiles.first_token?.count ?? 0;
    setText(this.#note, n ? `Of the last five minutes: ${count(n)} first tokens.` : 'Nothing was answered in the last five minutes.');
  }
}
