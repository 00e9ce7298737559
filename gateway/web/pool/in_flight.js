// in_flight.js - requests that the pool has now.
import { h, keyed, setAttr, setText } from '../dom.js';
import { count, duration, shortId } from '../format.js';
import { ownerChip } from '../owners.js';

const words = { queued: 'waiting', sent: 'at a worker', streaming: 'streaming' };
const columns = ['Request', 'State', 'Worker', 'Age', 'Tokens', 'Pictures'];

function row(first) {
  const state = h('span', { class: 'badge' });
  const worker = h('td');
  const age = h('td', { class: 'number' });
  const tokens = h('td', { class: 'number' });
  const pictures = h('td', { class: 'number' });
  let shownWorker;
  return {
    element: h('tr', null, h('th', { scope: 'row', class: 'id', title: first.id }, shortId(first.id)), h('td', null, state), worker, age, tokens, pictures),
    update(r) {
      setText(state, r.attempt > 1 ? `${words[r.state] ?? r.state}, attempt ${r.attempt}` : words[r.state] ?? r.state);
      setAttr(state, 'data-state', r.state);
      if (r.worker !== shownWorker) worker.replaceChildren(r.worker ? ownerChip(r.worker) : '–');
      shownWorker = r.worker;
      setText(age, duration(r.age_ms));
      setText(tokens, count(r.tokens));
      setText(pictures, count(r.pictures));
    },
  };
}

export class InFlight {
  #body = h('tbody');
  #table = h('div', { class: 'table-wrap', tabindex: '0', role: 'region', 'aria-label': 'Requests in flight' },
    h('table', { class: 'table' },
      h('thead', null, h('tr', null, columns.map((c, i) => h('th', { scope: 'col', class: i > 2 ? 'number' : null }, c)))), this.#body));
  #none = h('p', { class: 'muted' });
  element = h('div', null, this.#table, this.#none);

  update({ requests, stats }) {
    keyed(this.#body, requests, (r) => r.id, row);
    this.#table.hidden = !requests.length;
    this.#none.hidden = requests.length > 0;
    const n = stats.in_flight + stats.queued;
    // Others' requests are shown to admins only.
    setText(this.#none, n ? `${count(n)} in flight or waiting; an admin’s key shows them one by one.` : 'Nothing is in flight.');
  }
}
