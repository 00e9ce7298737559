// dialog.js - questions that must be answered first. <dialog> keeps the focus inside, closes on
// Escape, and gives the focus back to where it was.
import { freshId, h } from './dom.js';

/** Shows a modal dialog; build(close) gives its content. Resolves with what close() was given. */
export function modal(title, build, { className = '', locked = false } = {}) {
  return new Promise((resolve) => {
    const id = freshId('dialog');
    let result;
    const close = (value) => {
      result = value;
      element.close();
    };
    const element = h('dialog', { class: `dialog ${className}`, 'aria-labelledby': id },
      h('h2', { id }, title), build(close));
    element.addEventListener('cancel', (event) => locked && event.preventDefault());
    element.addEventListener('close', () => {
      element.remove();
      resolve(result);
    });
    if (!locked)
      element.addEventListener('pointerdown', (event) => {
        if (event.target === element) close(undefined); // outside, on the backdrop
      });
    document.body.append(element);
    element.showModal();
    element.querySelector('[autofocus]')?.focus();
  });
}

/** Asks yes or no; content is nodes. True only for the named action. */
export const confirm = (title, content, action, { danger = false } = {}) =>
  modal(title, (close) => [
    ...content,
    h('div', { class: 'actions' },
      h('button', { type: 'button', class: 'button', autofocus: true, onclick: () => close(false) }, 'Cancel'),
      h('button', { type: 'button', class: `button ${danger ? 'danger' : 'primary'}`, onclick: () => close(true) }, action)),
  ]).then(Boolean);

/** Asks for one line of text; undefined when cancelled. */
export const prompt = (title, label, value, action) =>
  modal(title, (close) => {
    const id = freshId('field');
    const input = h('input', { id, class: 'input', value, maxlength: 200, autocomplete: 'off', autofocus: true });
    const form = h('form', { onsubmit: (event) => {
      event.preventDefault();
      close(input.value.trim() || undefined);
    } },
      h('label', { for: id }, label), input,
      h('div', { class: 'actions' },
        h('button', { type: 'button', class: 'button', onclick: () => close(undefined) }, 'Cancel'),
        h('button', { class: 'button primary' }, action)));
    requestAnimationFrame(() => input.select());
    return form;
  });
