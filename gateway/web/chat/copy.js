// copy.js - a button that copies a text and says so for a moment.
import { h, setAttr } from '../dom.js';
import { icon } from '../icons.js';

const SAID_MS = 1500;

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Not on https and not on localhost: the older way.
  const area = h('textarea', { value: text, class: 'visually-hidden' });
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  if (!done) throw new Error('refused');
}

export function copyButton(text, label) {
  const button = h('button', { type: 'button', class: 'icon-button small', 'aria-label': label, title: label,
    onclick: async () => {
      let said = 'Copied';
      try {
        await copy(text());
        button.replaceChildren(icon('check'));
      } catch {
        said = 'The browser did not allow to copy';
        button.replaceChildren(icon('close'));
      }
      setAttr(button, 'aria-label', said);
      setTimeout(() => {
        button.replaceChildren(icon('copy'));
        setAttr(button, 'aria-label', label);
      }, SAID_MS);
    } }, icon('copy'));
  return button;
}
