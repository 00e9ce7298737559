// tree.js - the segments that the pool knows, as the tree they are, and who holds them.
//
// A conversation of many turns is one long branch, so segments without a fork between them make one
// row: a bar as wide as their positions. Rows are indented only where conversations part.
import * as api from '../api.js';
import { h, keyed, setAttr, setText } from '../dom.js';
import { ago, bytes, count, plural } from '../format.js';
import { icon } from '../icons.js';
import { owner, ownerChip } from '../owners.js';
import { bar, roleName } from '../segments.js';
import { runsOf } from './runs.js';

const EVERY_MS = 5000;
const SOON_MS = 600; // after a request ended, to let its explanation arrive

function segmentItem(node, at) {
  const held = node.owners.length ? `held by ${node.owners.join(', ')}` : 'held by nobody';
  const kind = `${roleName(node.role)}${node.kind === 'picture' ? ', picture' : ''}`;
  return {
    positions: node.positions,
    picture: node.kind === 'picture',
    parts: [{ share: 1, class: node.owners.length ? 'held' : 'nobody', owners: node.owners.map(owner) }],
    title: `${at} · ${kind}`,
    lines: [`${plural(node.positions, 'position')}, ${bytes(node.bytes)}, ends at ${count(node.ends_at)}`, held,
      `${plural(node.requests, 'request')}, ${ago(node.last)}`],
    label: `Segment ${at}: ${kind}, ${plural(node.positions, 'position')}, ${held}`,
  };
}

function runRow() {
  const toggle = h('button', { type: 'button', class: 'icon-button small toggle' }, icon('right'));
  const barBox = h('div', { class: 'run-bar' });
  const words = h('p', { class: 'run-words' });
  const children = h('ul', { class: 'runs' });
  const line = h('div', { class: 'run' }, toggle, h('div', { class: 'run-main' }, barBox, words));
  let open = true;
  let key = '';
  const show = () => {
    setAttr(toggle, 'aria-expanded', String(open));
    children.hidden = !open;
  };
  toggle.addEventListener('click', () => {
    open = !open;
    show();
  });
  return { element: h('li', null, line, children), update(run) {
    // Bars are drawn anew only when something in them changed, and not under somebody's eyes.
    const now = JSON.stringify([run.nodes, run.longest]);
    if (now !== key && !barBox.contains(document.activeElement) && !barBox.matches(':hover')) {
      key = now;
      const items = run.nodes.map((n, i) => segmentItem(n, run.first + i + 1));
      const element = bar(items, `${plural(run.nodes.length, 'segment')}, ${plural(run.positions, 'position')}`);
      // Of the whole panel's width, not of what indenting left: equal lengths are equal positions.
      element.style.width = `calc(${run.positions / run.longest} * (100cqi - var(--indents)))`;
      barBox.replaceChildren(element);
    }
    const parts = [`${plural(run.nodes.length, 'segment')}, ${plural(run.positions, 'position')}`,
      `${plural(run.requests, 'request')}, ${ago(run.last)}`];
    words.replaceChildren(...parts.map((p) => h('span', null, p)),
      ...(run.owners.length ? run.owners.map(({ name, positions }) => ownerChip(name, `${name} ${positions === run.positions ? 'all' : count(positions)}`)) : [h('span', { class: 'muted' }, 'held by nobody')]));
    toggle.classList.toggle('none', !run.children.length);
    toggle.disabled = !run.children.length;
    setAttr(toggle, 'aria-label', `${plural(run.children.length, 'branch', 'branches')} after ${plural(run.first + run.nodes.length, 'segment')}`);
    keyed(children, run.children, (c) => c.key, runRow);
    show();
  } };
}

export class TreePanel {
  #list = h('ul', { class: 'runs root', 'aria-label': 'Segment tree' });
  #note = h('p', { class: 'muted' }, 'Gathered from the last requests; there were none yet.');
  element = h('div', { class: 'segment-tree' }, this.#list, this.#note);
  #timer = null;
  #visible = false;
  #admitted = false;

  constructor(live) {
    live.addEventListener('request', () => this.#schedule(SOON_MS));
  }

  set visible(value) {
    this.#visible = value;
    this.#schedule(0);
  }

  set admitted(value) {
    this.#admitted = value;
    this.#schedule(0);
  }

  #schedule(ms) {
    clearTimeout(this.#timer);
    if (this.#visible && this.#admitted) this.#timer = setTimeout(() => this.#load(), ms);
  }

  async #load() {
    try {
      const { nodes } = await api.tree();
      const runs = runsOf(nodes);
      keyed(this.#list, runs, (r) => r.key, runRow);
      this.#list.hidden = !runs.length;
      this.#note.hidden = runs.length > 0;
      setText(this.#note, 'Gathered from the last requests; there were none yet.');
    } catch (failure) {
      this.#note.hidden = false;
      setText(this.#note, failure.message);
    }
    this.#schedule(EVERY_MS);
  }
}
