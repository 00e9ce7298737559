// list.js - the conversations of this browser: choose, search, rename, delete.
import { confirm, prompt } from '../dialog.js';
import { h, keyed, setAttr, setText } from '../dom.js';
import { ago } from '../format.js';
import { icon } from '../icons.js';

const SEARCH_FROM = 8; // conversations; fewer are seen at a glance

export class ConversationList {
  #all = [];
  #current = null;

  /** on: {open(id), create(), rename(id, title), remove(id)} */
  constructor(on) {
    this.on = on;
    this.list = h('ul', { class: 'conversations', 'aria-label': 'Conversations' });
    this.search = h('input', { type: 'search', class: 'input', placeholder: 'Search', 'aria-label': 'Search conversations',
      hidden: true, oninput: () => this.#draw() });
    this.empty = h('p', { class: 'muted small pad' });
    this.element = h('nav', { class: 'sidebar', 'aria-label': 'Conversations', id: 'sidebar' },
      h('button', { type: 'button', class: 'button wide', onclick: () => on.create() }, icon('plus'), 'New conversation'),
      this.search, this.list, this.empty);
  }

  update(all, current) {
    this.#all = all;
    this.#current = current;
    this.#draw();
  }

  #draw() {
    this.search.hidden = this.#all.length < SEARCH_FROM;
    const wanted = this.search.hidden ? '' : this.search.value.trim().toLowerCase();
    const shown = this.#all.filter((c) => c.title.toLowerCase().includes(wanted));
    keyed(this.list, shown, (c) => c.id, (c) => this.#item(c));
    this.empty.hidden = shown.length > 0;
    setText(this.empty, this.#all.length ? 'No title has that in it.' : 'Conversations are kept in this browser only.');
  }

  #item(first) {
    let item = first;
    const title = h('span', { class: 'title' });
    const when = h('span', { class: 'when' });
    const open = h('button', { type: 'button', class: 'conversation', onclick: () => this.on.open(item.id) }, title, when);
    const rename = h('button', { type: 'button', class: 'icon-button small', title: 'Rename', onclick: async () => {
      const name = await prompt('Rename the conversation', 'Title', item.title, 'Rename');
      if (name) this.on.rename(item.id, name);
    } }, icon('edit'));
    const remove = h('button', { type: 'button', class: 'icon-button small', title: 'Delete', onclick: async () => {
      const yes = await confirm('Delete this conversation?',
        [h('p', null, `“${item.title}” and its pictures are removed from this browser. This can’t be undone.`)],
        'Delete', { danger: true });
      if (yes) this.on.remove(item.id);
    } }, icon('trash'));
    return {
      element: h('li', null, open, h('span', { class: 'item-actions' }, rename, remove)),
      update: (next) => {
        item = next;
        setText(title, item.title);
        setText(when, ago(item.updated / 1000));
        setAttr(open, 'aria-current', item.id === this.#current ? 'true' : null);
        setAttr(open, 'title', item.title);
        setAttr(rename, 'aria-label', `Rename ${item.title}`);
        setAttr(remove, 'aria-label', `Delete ${item.title}`);
      },
    };
  }
}
