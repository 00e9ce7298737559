// figures.js - the few numbers that say how the pool is.
import { h, setAttr, setText } from '../dom.js';
import { count, duration, plural } from '../format.js';

function tile(label) {
  const value = h('dd', { class: 'value' });
  const note = h('dd', { class: 'note' });
  return { element: h('div', { class: 'tile' }, h('dt', null, label), value, note), set(v, n, kind) {
    setText(value, v);
    setText(note, n);
    setAttr(note, 'data-kind', kind ?? null);
  } };
}

const indexWords = { ok: 'index fine', off: 'no index', full: 'index full', broken: 'index broken', rebuilding: 'index being rebuilt' };

export class Figures {
  constructor() {
    this.answering = tile('Answering');
    this.waiting = tile('Waiting');
    this.done = tile('Answered');
    this.failed = tile('Failed');
    this.links = tile('Segments known');
    this.up = tile('Up for');
    const tiles = [this.answering, this.waiting, this.done, this.failed, this.links, this.up];
    this.element = h('dl', { class: 'tiles' }, tiles.map((t) => t.element));
  }

  update({ stats: s, workers, gateway }) {
    const credits = workers.filter((w) => w.state === 'up').reduce((sum, w) => sum + w.credits, 0);
    this.answering.set(count(s.in_flight), `of ${count(credits)} at a time`);
    this.waiting.set(count(s.queued), `room for ${count(s.queue_limit)}`);
    this.done.set(count(s.done), `${plural(s.requests, 'request')}, ${count(s.cancelled)} cancelled`);
    const resumed = (s.resent ?? 0) + (s.resumed ?? 0);
    this.failed.set(count(s.failed + s.expired), `${count(s.busy)} refused as busy, ${count(resumed)} sent again`, s.failed + s.expired > 0 ? 'warn' : null);
    const index = s.index ?? { state: 'off' };
    this.links.set(count(s.links), indexWords[index.state] ?? index.state, index.state === 'ok' || index.state === 'off' ? null : 'warn');
    setAttr(this.links.element, 'title', index.text || null);
    this.up.set(duration(s.uptime_ms), `${plural(gateway?.connections ?? 0, 'connection')}, policy ${s.policy}`);
  }
}
