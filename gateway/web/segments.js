// segments.js - the bar of a conversation's segments: as wide as their positions, marked by what
// happened to them. Arrow keys move inside, so it costs one stop of the Tab key.
import { h } from './dom.js';
import { bytes, count, plural } from './format.js';
import { tip } from './tip.js';

const FEWEST_GROW = 0.012; // of the whole: a segment of one position can still be seen and hit

/**
 * items: [{positions, picture, parts: [{share, class, owners}], title, lines, label}], in order.
 * The parts of an item lie side by side, as wide as their shares.
 */
export function bar(items, label) {
  const whole = items.reduce((sum, item) => sum + item.positions, 0) || 1;
  const blocks = items.map((item) => {
    const block = h('button', { type: 'button', class: `segment${item.picture ? ' picture' : ''}`,
      tabindex: '-1', 'aria-label': item.label }, item.parts.map(drawPart));
    block.style.flexGrow = Math.max(item.positions / whole, FEWEST_GROW);
    tip(block, () => [item.title, ...item.lines]);
    return block;
  });
  if (blocks.length) blocks[0].tabIndex = 0;
  const element = h('div', { class: 'segments', role: 'group', 'aria-label': label }, blocks);
  element.addEventListener('keydown', (event) => {
    const at = blocks.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: blocks.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    if (!blocks[to]) return;
    blocks[at].tabIndex = -1;
    blocks[to].tabIndex = 0;
    blocks[to].focus();
  });
  return element;
}

function drawPart(part) {
  const element = h('span', { class: `part ${part.class}` });
  element.style.flexGrow = part.share;
  // Several owners lie one above the other.
  for (const owner of part.owners ?? []) element.append(h('span', { class: `band owner-${owner}` }));
  return element;
}

const roles = { system: 'system', user: 'user', assistant: 'answer', raw: 'raw text' };
export const roleName = (role) => roles[role] ?? role ?? '';

export function reuseWords(segment) {
  if (!segment.positions) return 'no positions';
  if (segment.reused >= segment.positions) return 'all reused';
  if (!segment.reused) return 'all computed';
  return `${count(segment.reused)} reused, ${count(segment.positions - segment.reused)} computed`;
}

/** The bar of one request: filled is reused, hatched was computed. */
export function reuseBar(segments) {
  const items = segments.map((s, i) => {
    const reused = Math.min(s.reused ?? 0, s.positions);
    const words = reuseWords(s);
    const name = `${roleName(s.role)}${s.kind === 'picture' ? ', picture' : ''}`;
    return {
      positions: s.positions,
      picture: s.kind === 'picture',
      parts: [
        reused > 0 && { share: reused, class: 'reused' },
        reused < s.positions && { share: s.positions - reused, class: 'computed' },
      ].filter(Boolean),
      title: `${i + 1} of ${segments.length} · ${name}`,
      lines: [`${plural(s.positions, 'position')}, ${words}`, `${bytes(s.bytes)}, ends at ${count(s.ends_at)}`],
      label: `Segment ${i + 1} of ${segments.length}: ${name}, ${plural(s.positions, 'position')}, ${words}`,
    };
  });
  return bar(items, `${plural(segments.length, 'segment')} of the prompt`);
}

/** What the colours of reuseBar mean. */
export const reuseLegend = () =>
  h('p', { class: 'legend' },
    h('span', null, h('span', { class: 'key reused' }), 'reused'),
    h('span', null, h('span', { class: 'key computed' }), 'computed'),
    h('span', null, h('span', { class: 'key picture' }), 'picture'));
