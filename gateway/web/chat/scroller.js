// scroller.js - keeps the end of a growing text in sight for those who are at the end, and leaves
// those alone who have scrolled up.
import { h } from '../dom.js';
import { icon } from '../icons.js';

const NEAR_PX = 48;

export class Scroller {
  #follows = true;

  constructor(scrolled) {
    this.scrolled = scrolled;
    this.button = h('button', { type: 'button', class: 'icon-button to-end', hidden: true, 'aria-label': 'To the end',
      title: 'To the end', onclick: () => this.toEnd() }, icon('down'));
    scrolled.addEventListener('scroll', () => {
      this.#follows = this.#isAtEnd();
      this.#show();
    }, { passive: true });
    // Pictures arrive later than their messages, and windows change: the end stays where it was.
    const resized = new ResizeObserver(() => (this.#follows ? this.toEnd() : this.#show()));
    for (const element of [scrolled, ...scrolled.children]) resized.observe(element);
    this.element = h('div', { class: 'thread-body' }, scrolled, this.button);
  }

  #isAtEnd() {
    const s = this.scrolled;
    return s.scrollHeight - s.scrollTop - s.clientHeight < NEAR_PX;
  }

  #show() {
    this.button.hidden = this.#isAtEnd();
  }

  toEnd() {
    this.#follows = true;
    this.scrolled.scrollTop = this.scrolled.scrollHeight;
    this.#show();
  }

  /** Does what changes the text; the end stays in sight if it was. */
  keep(change) {
    const follow = this.#follows;
    change();
    if (follow) this.toEnd();
    else this.#show();
  }
}
