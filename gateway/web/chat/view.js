// view.js - the chat: which conversation is shown, and what happens when something is sent.
import { h, keyed, setAttr, setText } from '../dom.js';
import { icon } from '../icons.js';
import { Composer } from './composer.js';
import { ConversationList } from './list.js';
import { message } from './message.js';
import { OptionsPanel, lastOptions } from './panel.js';
import { filesIn } from './pictures.js';
import { Runs } from './runs.js';
import { Scroller } from './scroller.js';
import { Store } from './store.js';
import * as tree from './tree.js';

export class ChatView {
  title = 'Chat';
  #store = new Store();
  #conversation = tree.newConversation(lastOptions());
  #models = '';
  #shown = new Map(); // node id -> what message() gave

  constructor(live) {
    this.list = new ConversationList({
      open: (id) => this.#open(id), create: () => this.#create(),
      rename: (id, title) => this.#rename(id, title), remove: (id) => this.#remove(id),
    });
    this.runs = new Runs(this.#store, { changed: (c, node) => this.#changed(c, node), ended: (c) => this.#ended(c) });
    this.panel = new OptionsPanel(() => this.#save());
    this.composer = new Composer({ send: (text, pictures) => this.#send(text, pictures), stop: () => this.runs.stop(this.#conversation.id) });
    this.heading = h('h2', { class: 'thread-title' });
    this.note = h('p', { class: 'banner', hidden: true });
    this.messages = h('ol', { class: 'messages', 'aria-label': 'Messages' });
    this.empty = h('div', { class: 'empty' }, h('h3', null, 'Ask about pictures'),
      h('p', null, 'Drop a picture here, paste one, or choose one below, and ask what you want to know. Each answer shows how much of the conversation the pool still knew.'));
    this.scroller = new Scroller(h('div', { class: 'thread-scroll', tabindex: '-1' }, this.note, this.empty, this.messages));
    this.menu = this.#toggle('menu', 'Conversations', 'sidebar', (open) => setAttr(this.element, 'data-sidebar', open ? 'open' : null));
    this.options = this.#toggle('options', 'System text and options', 'chat-options', (open) => (this.panel.element.hidden = !open));
    this.menu.classList.add('only-narrow');
    this.thread = h('section', { class: 'thread', 'aria-label': 'Conversation' },
      h('div', { class: 'thread-top' }, this.menu, this.heading, this.options),
      this.panel.element, this.scroller.element, this.composer.element, this.runs.announcer.element);
    this.element = h('div', { class: 'view chat' }, this.list.element,
      h('div', { class: 'shade', onclick: () => this.menu.set(false) }), this.thread);
    live.addEventListener('pool', () => this.#offer(live.pool.workers.map((w) => w.model)));
    setInterval(() => this.#list(), 60_000); // "3 min ago" grows old
    this.#takePictures();
    this.#begin();
  }

  admit(me) {
    this.#offer(me.models ?? []);
  }

  /** Models come and go with their workers. */
  #offer(models) {
    const names = [...new Set(models)].sort();
    if (names.join('\n') === this.#models) return;
    this.#models = names.join('\n');
    this.panel.models = names;
  }

  show() {
    if (matchMedia('(hover: hover)').matches) this.composer.focus();
  }

  #toggle(name, label, controls, onChange) {
    const button = h('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: label,
      'aria-expanded': 'false', 'aria-controls': controls, onclick: () => button.set(button.getAttribute('aria-expanded') !== 'true') }, icon(name));
    button.set = (open) => {
      setAttr(button, 'aria-expanded', String(open));
      onChange(open);
    };
    return button;
  }

  #takePictures() {
    let depth = 0; // dragenter and dragleave come for each element on the way
    const mark = (step) => {
      depth = Math.max(0, step === 0 ? 0 : depth + step);
      this.thread.toggleAttribute('data-drop', depth > 0);
    };
    const isFiles = (e) => e.dataTransfer?.types?.includes('Files');
    this.thread.addEventListener('dragenter', (e) => isFiles(e) && mark(1));
    this.thread.addEventListener('dragleave', (e) => isFiles(e) && mark(-1));
    this.thread.addEventListener('dragover', (e) => isFiles(e) && e.preventDefault());
    this.thread.addEventListener('drop', (e) => {
      if (!isFiles(e)) return;
      e.preventDefault();
      mark(0);
      this.composer.addFiles(filesIn(e.dataTransfer));
    });
    document.addEventListener('paste', (e) => {
      if (!this.element.hidden && !document.querySelector('dialog[open]')) this.composer.paste(e);
    });
    this.element.addEventListener('keydown', (e) => {
      if (e.key === 'Escape' && this.element.dataset.sidebar) {
        this.menu.set(false);
        this.menu.focus();
      }
    });
  }

  async #begin() {
    await this.#store.open();
    if (!this.#store.lasting) {
      setText(this.note, 'This browser keeps nothing for this page: conversations are lost when you leave it.');
      this.note.hidden = false;
    }
    const [latest] = await this.#store.list();
    if (latest) await this.#open(latest.id, false);
    else this.#draw();
    this.#list();
  }

  async #list() {
    this.list.update(await this.#store.list(), this.#conversation.id);
  }

  #save() {
    // What nothing was said in is not kept.
    if (!tree.path(this.#conversation).length) return undefined;
    return this.#store.save(this.#conversation).then(() => this.#list());
  }

  async #open(id, focus = true) {
    const conversation = this.runs.conversation(id) ?? (await this.#store.load(id));
    if (!conversation) return;
    // An answer whose page was closed while it came has no end; it can be asked for again.
    for (const node of Object.values(conversation.nodes))
      if (node.role === 'assistant' && !node.running && !node.text && !node.error && !node.details) node.stopped = true;
    this.#show(conversation);
    if (focus) this.composer.focus();
  }

  #create() {
    this.#show(tree.newConversation(lastOptions()));
    this.composer.focus();
  }

  #show(conversation) {
    this.#conversation = conversation;
    this.messages.replaceChildren();
    this.messages.parts = new Map();
    this.#shown.clear();
    this.menu.set(false);
    this.panel.show(conversation);
    this.#draw();
    this.scroller.toEnd();
    this.#list();
  }

  async #rename(id, title) {
    const conversation = id === this.#conversation.id ? this.#conversation : this.runs.conversation(id) ?? (await this.#store.load(id));
    Object.assign(conversation, { title, named: true });
    await this.#store.save(conversation);
    if (id === this.#conversation.id) this.#draw();
    this.#list();
  }

  async #remove(id) {
    this.runs.stop(id);
    await this.runs.settled(id);
    await this.#store.remove(id);
    if (id === this.#conversation.id) this.#create();
    else this.#list();
  }

  #draw() {
    const c = this.#conversation;
    const nodes = tree.path(c);
    setText(this.heading, nodes.length ? c.title : 'New conversation');
    this.empty.hidden = nodes.length > 0;
    this.composer.busy = this.runs.isRunning(c.id);
    const on = {
      turn: (node, step) => this.#turn(node, step),
      edit: (node, text) => this.#branch(node.parent, text, node.pictures),
      again: (node) => this.#answer(c, node.parent),
    };
    keyed(this.messages, nodes, (n) => n.id, (node) => {
      const made = message(c, node, on, (id) => this.#store.picture(id));
      this.#shown.set(node.id, made);
      return made;
    });
  }

  #turn(node, step) {
    if (this.runs.isRunning(this.#conversation.id)) return;
    tree.turn(this.#conversation, node, step);
    this.#draw();
    this.#save();
    // The focus stays on the arrows of the message that took this one's place.
    const now = tree.path(this.#conversation).find((n) => n.parent === node.parent);
    const label = step < 0 ? 'Earlier version' : 'Later version';
    const buttons = [...this.messages.querySelectorAll(`[data-node="${now.id}"] .branches button`)];
    (buttons.find((b) => b.getAttribute('aria-label') === label && !b.disabled) ?? buttons.find((b) => !b.disabled))?.focus();
  }

  async #send(text, pictures) {
    const c = this.#conversation;
    await Promise.all(pictures.map((p) => this.#store.savePicture({ id: p.id, conversation: c.id, blob: p.blob })));
    const last = tree.path(c).at(-1);
    this.#branch(last?.id ?? null, text, pictures.map(({ blob, ...rest }) => rest));
  }

  /** A new message after `parent`, and the answer to it. */
  #branch(parent, text, pictures) {
    const c = this.#conversation;
    if (this.runs.isRunning(c.id)) return;
    if (!c.named && !tree.path(c).length) c.title = tree.titleOf(text, pictures.length);
    const node = tree.add(c, parent, { role: 'user', text, pictures });
    c.updated = Date.now();
    this.#answer(c, node.id);
  }

  #answer(c, parent) {
    if (this.runs.isRunning(c.id)) return;
    this.runs.start(c, c.nodes[parent]);
    this.#draw();
    this.scroller.toEnd();
    this.composer.focus();
    this.#save();
  }

  #changed(c, node) {
    if (c !== this.#conversation) return;
    this.scroller.keep(() => this.#shown.get(node.id)?.update());
  }

  async #ended(c) {
    c.updated = Date.now();
    if (c === this.#conversation) this.scroller.keep(() => this.#draw());
    await this.#store.save(c);
    this.#list();
  }
}
