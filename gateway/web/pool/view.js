// view.js - the pool as it is now.
import { sentence } from '../api.js';
import { h } from '../dom.js';
import { owner } from '../owners.js';
import { Efficiency } from './efficiency.js';
import { Figures } from './figures.js';
import { InFlight } from './in_flight.js';
import { Percentiles } from './percentiles.js';
import { Predictions } from './predictions.js';
import { TreePanel } from './tree.js';
import { Workers } from './workers.js';

export class PoolView {
  title = 'Pool';
  #parts;

  constructor(live) {
    this.live = live;
    this.banner = h('p', { class: 'banner', role: 'status', hidden: true });
    const section = (title, part, className = '') =>
      h('section', { class: `panel ${className}`, 'aria-label': title }, h('h2', null, title), part.element);
    const figures = new Figures();
    this.workers = new Workers();
    const inFlight = new InFlight();
    const efficiency = new Efficiency();
    const percentiles = new Percentiles();
    const predictions = new Predictions();
    this.tree = new TreePanel(live);
    this.#parts = [figures, this.workers, inFlight, efficiency, percentiles, predictions];
    this.waiting = h('p', { class: 'muted pad' }, 'Waiting for the pool’s first figures.');
    this.content = h('div', { class: 'pool-content', hidden: true },
      figures.element,
      section('Workers', this.workers),
      h('div', { class: 'pair' },
        h('div', { class: 'stack' }, section('Reused', efficiency), section('Times', percentiles)),
        section('Prediction against outcome', predictions)),
      section('In flight', inFlight),
      section('Segments and who holds them', this.tree));
    this.element = h('div', { class: 'view page', tabindex: '-1' }, this.banner, this.waiting, this.content);
    live.addEventListener('pool', () => this.#draw());
    live.addEventListener('state', () => this.#draw());
  }

  admit(me) {
    this.workers.admin = me.admin;
    this.tree.admitted = true;
  }

  show() {
    this.visible = true;
    this.tree.visible = true;
    this.#draw();
  }

  hide() {
    this.visible = false;
    this.tree.visible = false;
  }

  #draw() {
    if (!this.visible) return;
    const { pool, state } = this.live;
    const stale = pool && state !== 'live';
    const trouble = stale
      ? `${this.live.trouble} These are the last figures that came.`
      : sentence(pool?.trouble ?? '') || (pool && !pool.connected ? 'The broker does not answer.' : '');
    if (this.banner.textContent !== trouble) this.banner.textContent = trouble;
    this.banner.hidden = !trouble;
    this.content.classList.toggle('stale', Boolean(trouble));
    const isKnown = Boolean(pool) && (pool.connected || pool.stats.uptime_ms > 0); // the broker was there once
    this.waiting.hidden = isKnown || Boolean(trouble);
    this.content.hidden = !isKnown;
    if (!isKnown) return;
    for (const worker of [...pool.workers].sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))) owner(worker.name);
    for (const part of this.#parts) part.update(pool);
  }
}
