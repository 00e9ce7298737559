// announce.js - reads a growing answer to screen readers: whole sentences, now and then, never every
// token.
import { h } from '../dom.js';

const EVERY_MS = 2500;

export class Announcer {
  element = h('div', { class: 'visually-hidden', 'aria-live': 'polite', 'aria-relevant': 'additions' });
  #text = '';
  #said = 0;
  #timer = null;

  begin() {
    this.element.replaceChildren();
    this.#text = '';
    this.#said = 0;
  }

  add(text) {
    this.#text = text;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      const end = Math.max(...['. ', '! ', '? ', '\n', ': '].map((mark) => this.#text.lastIndexOf(mark)));
      this.#say(end + 1);
    }, EVERY_MS);
  }

  /** The rest, and how it ended. */
  end(text, how = '') {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#text = text;
    this.#say(text.length);
    if (how) this.element.append(h('p', null, how));
  }

  #say(end) {
    const piece = this.#text.slice(this.#said, end).trim();
    if (!piece) return;
    this.#said = end;
    this.element.append(h('p', null, piece));
  }
}
