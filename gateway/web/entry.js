// entry.js - asking a visitor for the key.
import * as api from './api.js';
import { modal } from './dialog.js';
import { freshId, h } from './dom.js';
import * as keys from './keys.js';

/** Asks until the gateway knows the key; resolves with what /quire/me says then. */
export function askForKey(reason = '') {
  return modal('Your key', (close) => {
    const id = freshId('key');
    const input = h('input', { id, class: 'input', type: 'password', autocomplete: 'current-password',
      required: true, autofocus: true, maxlength: 200, 'aria-describedby': `${id}-error` });
    const remember = h('input', { type: 'checkbox', checked: keys.isRemembered() });
    const error = h('p', { id: `${id}-error`, class: 'error-text', role: 'alert' }, reason);
    const button = h('button', { class: 'button primary' }, 'Continue');
    const submit = async (event) => {
      event.preventDefault();
      button.disabled = true;
      keys.set(input.value.trim(), remember.checked);
      try {
        const me = await api.me();
        if (me.known) return close(me);
        keys.forget();
        error.textContent = 'The gateway does not know this key.';
      } catch (failure) {
        keys.forget();
        error.textContent = failure.message;
      } finally {
        button.disabled = false;
      }
      input.select();
    };
    return h('form', { onsubmit: submit },
      h('p', { class: 'muted' }, 'This gateway answers those who have a key. It stays in this tab and is sent to this gateway only.'),
      h('label', { for: id }, 'Key'), input, error,
      h('label', { class: 'check' }, remember, ' Remember it in this browser'),
      h('div', { class: 'actions' }, button));
  }, { locked: true });
}
