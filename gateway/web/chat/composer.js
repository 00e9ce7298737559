// composer.js - where a message is written: text that grows, pictures beside it, send or stop.
import { h, setAttr } from '../dom.js';
import { icon } from '../icons.js';
import { newId } from './tree.js';
import { filesIn, prepare } from './pictures.js';
import { thumbnail } from './thumbnails.js';

const PICTURES = 16; // in one message

export class Composer {
  #pictures = []; // {id, blob, name, width, height, note}
  #busy = false;
  #preparing = 0;

  /** on: {send(text, pictures), stop()} */
  constructor(on) {
    this.on = on;
    this.list = h('ul', { class: 'thumbnails', hidden: true, 'aria-label': 'Pictures to send' });
    this.trouble = h('p', { class: 'error-text', role: 'alert' });
    this.text = h('textarea', { class: 'composer-text', rows: 1, 'aria-label': 'Message', placeholder: 'Ask, or drop a picture',
      oninput: () => this.#grow(), onkeydown: (e) => this.#key(e) });
    this.files = h('input', { type: 'file', accept: 'image/*', multiple: true, class: 'visually-hidden', tabindex: '-1',
      'aria-label': 'Pictures', onchange: () => {
        this.addFiles([...this.files.files]);
        this.files.value = '';
      } });
    this.attach = h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Add pictures', title: 'Add pictures',
      onclick: () => this.files.click() }, icon('picture'));
    this.action = h('button', { type: 'button', class: 'icon-button filled', onclick: () => (this.#busy ? this.on.stop() : this.#send()) });
    this.element = h('form', { class: 'composer', onsubmit: (e) => e.preventDefault() },
      this.trouble, this.list,
      h('div', { class: 'composer-row' }, this.attach, this.files, this.text, this.action));
    this.busy = false;
  }

  /** While an answer streams the button stops it, and nothing can be sent. */
  set busy(value) {
    this.#busy = value;
    const label = value ? 'Stop the answer' : 'Send';
    setAttr(this.action, 'aria-label', label);
    setAttr(this.action, 'title', value ? 'Stop the answer (Escape)' : 'Send (Enter; Shift and Enter for a new line)');
    this.action.replaceChildren(icon(value ? 'stop' : 'send'));
    this.#enable();
  }

  focus() {
    this.text.focus({ preventScroll: true });
  }

  async addFiles(files) {
    this.trouble.textContent = '';
    this.#preparing++;
    this.#enable();
    for (const file of files) {
      if (this.#pictures.length >= PICTURES) {
        this.trouble.textContent = `A message can hold ${PICTURES} pictures.`;
        break;
      }
      try {
        this.#pictures.push({ id: newId(), ...(await prepare(file)) });
      } catch (error) {
        this.trouble.textContent = error.message;
      }
      this.#draw();
    }
    this.#preparing--;
    this.#enable();
    this.focus();
  }

  /** Takes pasted pictures; text is left to the browser. */
  paste(event) {
    const files = filesIn(event.clipboardData);
    if (!files.length) return;
    event.preventDefault();
    this.addFiles(files);
  }

  clear() {
    this.text.value = '';
    this.#pictures = [];
    this.trouble.textContent = '';
    this.#draw();
    this.#grow();
  }

  #draw() {
    this.list.hidden = !this.#pictures.length;
    this.list.replaceChildren(...this.#pictures.map((p) =>
      thumbnail(p, p.blob, () => {
        this.#pictures = this.#pictures.filter((other) => other !== p);
        this.#draw();
        this.focus();
      })));
    this.#enable();
  }

  #grow() {
    // Measured at its smallest first; the bound is in the style sheet.
    this.text.style.height = 'auto';
    this.text.style.height = `${this.text.scrollHeight}px`;
    this.#enable();
  }

  #enable() {
    this.action.disabled = !this.#busy && (this.#preparing > 0 || (!this.text.value.trim() && !this.#pictures.length));
  }

  #key(event) {
    // isComposing: Enter chooses a word of an input method then.
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (!this.#busy) this.#send();
    } else if (event.key === 'Escape' && this.#busy) this.on.stop();
  }

  #send() {
    const text = this.text.value.trim();
    if (this.action.disabled || (!text && !this.#pictures.length)) return;
    const pictures = this.#pictures;
    this.clear();
    this.on.send(text, pictures);
  }
}
