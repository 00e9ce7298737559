// efficiency.js - how much of the prompts was known, over the last minutes.
import { h, setText } from '../dom.js';
import { count, percent, plural } from '../format.js';
import { meter } from './meter.js';

export class Efficiency {
  #rows = [1, 5, 15].map((minutes) => {
    const bar = meter(minutes === 1 ? 'Last minute' : `Last ${minutes} minutes`);
    const note = h('p', { class: 'note' });
    return { minutes, bar, note, element: h('div', { class: 'window' }, bar.element, note) };
  });
  #all = h('p', { class: 'muted small' });
  element = h('div', null, this.#rows.map((r) => r.element), this.#all);

  update({ windows, stats: s }) {
    for (const row of this.#rows) {
      const w = windows.find((x) => x.minutes === row.minutes);
      if (!w) continue;
      row.bar.set(w.reused_positions, w.prompt_positions, w.prompt_positions
        ? `${percent(w.reused_positions, w.prompt_positions)} of ${plural(w.prompt_positions, 'position')}`
        : 'no requests');
      setText(row.note, w.prompt_positions
        ? `${plural(w.requests, 'request')}; ${w.pictures ? `${count(w.pictures - w.pictures_encoded)} of ${plural(w.pictures, 'picture')} not looked at again` : 'no pictures'}`
        : '');
    }
    setText(this.#all, s.prompt_positions ? `Since the start ${percent(s.reused_positions, s.prompt_positions)} of ${plural(s.prompt_positions, 'position')}.` : 'Nothing was asked yet.');
  }
}
