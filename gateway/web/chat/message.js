// message.js - one message: its text and pictures, what can be done with it, and under an answer what
// it cost.
import { detailsBar } from '../details.js';
import { h, setText } from '../dom.js';
import { icon } from '../icons.js';
import { copyButton } from './copy.js';
import { render } from './markdown.js';
import { thumbnail } from './thumbnails.js';
import { place } from './tree.js';

const action = (name, label, onclick) =>
  h('button', { type: 'button', class: 'icon-button small', 'aria-label': label, title: label, onclick }, icon(name));

/**
 * on: {turn(node, step), edit(node, text), again(node)}; picture(id) gives a promise of a blob.
 * Gives {element, update()}: update looks at the node anew.
 */
export function message(conversation, node, on, picture) {
  const isAnswer = node.role === 'assistant';
  const who = h('h3', { class: 'who' });
  const body = h('div', { class: `body${isAnswer ? ' prose' : ' plain'}` });
  const state = h('div', { class: 'message-state' });
  const below = h('div', { class: 'below' });
  const branches = h('span', { class: 'branches' });
  const copy = copyButton(() => node.text, isAnswer ? 'Copy the answer' : 'Copy the message');
  const actions = h('div', { class: 'message-actions' }, branches, copy,
    isAnswer ? action('again', 'Answer again', () => on.again(node)) : action('edit', 'Edit', () => startEditing()));
  const element = h('li', { class: `message ${node.role}`, dataset: { node: node.id } },
    h('article', null, who,
      node.pictures.length ? h('ul', { class: 'thumbnails', 'aria-label': 'Pictures' }, node.pictures.map((p) => thumbnail(p, picture(p.id)))) : null,
      body, state, below, actions));

  let drawn = null; // the details under the answer now

  function drawState() {
    const parts = [];
    if (node.running && !node.text) parts.push(h('p', { class: 'thinking' }, h('span', { class: 'visually-hidden' }, 'Waiting for the first token'), h('i'), h('i'), h('i')));
    if (node.stopped) parts.push(h('p', { class: 'muted small' }, node.text ? 'Stopped.' : 'Stopped before it began.'));
    if (node.cut && !node.running) parts.push(h('p', { class: 'muted small' }, 'Cut off at the largest number of tokens.'));
    if (node.error)
      parts.push(h('div', { class: 'failure', role: 'alert' }, icon('warning'), h('p', null, node.error),
        h('button', { type: 'button', class: 'button', onclick: () => on.again(node) }, 'Try again')));
    state.replaceChildren(...parts);
  }

  function drawBranches() {
    const { at, of } = place(conversation, node);
    branches.replaceChildren();
    if (of < 2) return;
    const back = action('left', 'Earlier version', () => on.turn(node, -1));
    const on_ = action('right', 'Later version', () => on.turn(node, 1));
    back.disabled = at === 0;
    on_.disabled = at === of - 1;
    branches.append(back, h('span', { class: 'of' }, `${at + 1} / ${of}`), on_);
  }

  function startEditing() {
    const text = h('textarea', { class: 'input', rows: 3, value: node.text, 'aria-label': 'Edited message' });
    const stop = () => {
      form.replaceWith(body);
      actions.hidden = false;
      actions.querySelector('[aria-label="Edit"]').focus();
    };
    const send = () => {
      const value = text.value.trim();
      if (!value && !node.pictures.length) return;
      stop();
      on.edit(node, value);
    };
    text.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') stop();
      else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        send();
      }
    });
    const form = h('form', { class: 'editing', onsubmit: (e) => {
      e.preventDefault();
      send();
    } }, text, h('div', { class: 'actions' },
      h('button', { type: 'button', class: 'button', onclick: stop }, 'Cancel'),
      h('button', { class: 'button primary' }, 'Send')));
    body.replaceWith(form);
    actions.hidden = true;
    text.focus();
  }

  function update() {
    setText(who, isAnswer ? node.model || 'Answer' : 'You');
    if (isAnswer) {
      body.toggleAttribute('aria-busy', Boolean(node.running));
      render(body, node.text);
    } else setText(body, node.text);
    body.hidden = !node.text;
    drawState();
    drawBranches();
    actions.hidden = Boolean(node.running);
    copy.hidden = !node.text;
    const details = node.running ? null : node.details;
    if (details !== drawn) {
      drawn = details;
      below.replaceChildren(...(details ? [detailsBar(details, { legend: true })] : []));
    }
  }
  update();
  return { element, update };
}
