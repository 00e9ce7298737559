// tip.js - one small box that says more about what the pointer or the focus is on.
//
// It only repeats what the element's accessible name says, so screen readers need not hear it.
import { h } from './dom.js';

const box = h('div', { class: 'tip', hidden: true, 'aria-hidden': 'true' });
let owner = null;

function place(target) {
  const at = target.getBoundingClientRect();
  const size = box.getBoundingClientRect();
  const left = Math.min(Math.max(8, at.left + at.width / 2 - size.width / 2), innerWidth - size.width - 8);
  const above = at.top - size.height - 8;
  box.style.left = `${left}px`;
  box.style.top = `${above > 8 ? above : at.bottom + 8}px`;
}

function show(target, lines) {
  owner = target;
  box.replaceChildren(...lines.map((line, i) => h(i === 0 ? 'strong' : 'span', null, line)));
  if (!box.isConnected) document.body.append(box);
  // In a modal dialog only the dialog is on top; nothing there has tips.
  box.hidden = false;
  place(target);
}

export function hide(target) {
  if (target && target !== owner) return;
  owner = null;
  box.hidden = true;
}

/** lines() is asked each time: the first is the title. */
export function tip(target, lines) {
  target.addEventListener('pointerenter', () => show(target, lines()));
  target.addEventListener('pointerleave', () => hide(target));
  target.addEventListener('focus', () => target.matches(':focus-visible') && show(target, lines()));
  target.addEventListener('blur', () => hide(target));
  // A finger only touches for a moment; what it touched stays explained until it touches elsewhere.
  target.addEventListener('click', () => show(target, lines()));
}

addEventListener('keydown', (event) => event.key === 'Escape' && hide());
addEventListener('scroll', () => hide(), { capture: true, passive: true });
