// meter.js - a thin bar of how much of something is used, with its words.
import { h, setAttr, setText } from '../dom.js';

/** isScarce: nearly all of it used is worth a warning colour. */
export function meter(label, { isScarce = false } = {}) {
  const words = h('span', { class: 'meter-words' });
  const filled = h('span', { class: 'meter-filled' });
  const track = h('div', { class: 'meter', role: 'meter', 'aria-label': label, 'aria-valuemin': '0' }, filled);
  const element = h('div', { class: 'meter-row' }, h('span', { class: 'meter-label' }, label), words, track);
  return { element, set(value, most, text) {
    const share = most > 0 ? Math.min(1, value / most) : 0;
    filled.style.width = `${100 * share}%`;
    setAttr(track, 'data-high', isScarce && share > 0.9 ? '' : null);
    setAttr(track, 'aria-valuemax', most || 1);
    setAttr(track, 'aria-valuenow', Math.min(value, most || 1));
    setAttr(track, 'aria-valuetext', text);
    setText(words, text);
  } };
}
