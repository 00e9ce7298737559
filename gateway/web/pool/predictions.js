// predictions.js - what the broker foresaw against what came: a dot for each of the last requests.
import { h, setAttr, setText, svg } from '../dom.js';
import { millis, plural, time } from '../format.js';
import { owner, ownerChip } from '../owners.js';
import { logScale } from '../scale.js';

const SIZE = { width: 340, height: 240, left: 60, right: 10, top: 8, bottom: 34 };

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

function summary(points) {
  const error = median(points.map((p) => Math.abs(p.first_token_ms - p.predicted_ms) / p.first_token_ms));
  return `${plural(points.length, 'request')}: half of the predictions were within ${Math.round(100 * error)} % of what came.`;
}

export class Predictions {
  #chart = svg('svg', { class: 'chart', viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: 'img' });
  #legend = h('p', { class: 'legend' });
  #words = h('p', { class: 'muted small' });
  #drawn = '';
  element = h('div', null, this.#chart, this.#legend, this.#words);

  update({ percentiles: p }) {
    const points = (p.predictions ?? []).filter((x) => x.predicted_ms > 0 && x.first_token_ms > 0);
    const key = JSON.stringify(points);
    if (key === this.#drawn) return;
    this.#drawn = key;
    this.#chart.toggleAttribute('hidden', !points.length);
    this.#legend.hidden = !points.length;
    setText(this.#words, points.length ? summary(points) : 'No predictions yet: they come with the first requests.');
    if (points.length) this.#draw(points);
  }

  #draw(points) {
    const all = points.flatMap((p) => [p.predicted_ms, p.first_token_ms]);
    const { low, high, ticks, at } = logScale(Math.max(0.1, Math.min(...all)), Math.max(...all));
    const { width, height, left, right, top, bottom } = SIZE;
    const x = at(left, width - right);
    const y = at(height - bottom, top);
    const label = (value) => (value >= 1000 ? `${value / 1000} s` : `${value} ms`);
    setAttr(this.#chart, 'aria-label', `Predicted against measured first tokens. ${summary(points)}`);
    this.#chart.replaceChildren(
      ...ticks.flatMap((t) => [
        svg('line', { class: 'grid', x1: x(t), x2: x(t), y1: top, y2: height - bottom }),
        svg('line', { class: 'grid', x1: left, x2: width - right, y1: y(t), y2: y(t) }),
        svg('text', { x: x(t), y: height - bottom + 13, 'text-anchor': t === high ? 'end' : 'middle' }, label(t)),
        svg('text', { x: left - 6, y: y(t) + 3.5, 'text-anchor': 'end' }, label(t)),
      ]),
      svg('text', { class: 'axis', x: (left + width - right) / 2, y: height - 3, 'text-anchor': 'middle' }, 'predicted'),
      svg('text', { class: 'axis', x: -(height - bottom + top) / 2, y: 10, transform: 'rotate(-90)', 'text-anchor': 'middle' }, 'measured'),
      svg('line', { class: 'ideal', x1: x(low), y1: y(low), x2: x(high), y2: y(high) }),
      // The newest last, so that it lies above.
      ...points.slice().reverse().map((p) =>
        svg('circle', { class: `point owner-${owner(p.worker)}`, cx: x(p.predicted_ms), cy: y(p.first_token_ms), r: 3.5 },
          svg('title', null, `${p.worker}: predicted ${millis(p.predicted_ms)} ms, measured ${millis(p.first_token_ms)} ms${p.started ? `, ${time(p.started)}` : ''}`))));
    const names = [...new Set(points.map((p) => p.worker))].sort();
    this.#legend.replaceChildren(...names.map((name) => ownerChip(name)), h('span', null, h('span', { class: 'key ideal' }), 'as predicted'));
  }
}
