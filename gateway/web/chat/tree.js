// tree.js - a conversation is a tree: editing a message or asking again adds a branch, and nothing
// is ever lost. Every node knows which of its children is shown.
//
//   node: {id, parent, role, text, pictures: [{id, name, width, height, note}], children: [id],
//          chosen: id or null; of answers: details, requestId, model, stopped, error}

const ROOT = 'root';

// randomUUID() exists only on https and on localhost; a gateway in a local network has neither.
export const newId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, '0')).join('');

export function newConversation(options) {
  return {
    id: newId(), title: 'New conversation', named: false, updated: Date.now(), system: '',
    options: { model: '', temperature: '', max_tokens: '', seed: '', ...options },
    nodes: { [ROOT]: { id: ROOT, parent: null, children: [], chosen: null } },
  };
}

/** Adds a message after `parent` (null: at the beginning) and shows it. */
export function add(conversation, parent, message) {
  const node = { id: newId(), parent: parent ?? ROOT, children: [], chosen: null, pictures: [], ...message };
  const above = conversation.nodes[node.parent];
  conversation.nodes[node.id] = node;
  above.children.push(node.id);
  above.chosen = node.id;
  return node;
}

/** The messages shown, from the first to the last. */
export function path(conversation) {
  const nodes = [];
  for (let id = conversation.nodes[ROOT].chosen; id; id = conversation.nodes[id].chosen)
    nodes.push(conversation.nodes[id]);
  return nodes;
}

/** The messages up to and with `node`, whichever are shown. */
export function upTo(conversation, node) {
  const nodes = [];
  for (let n = node; n.id !== ROOT; n = conversation.nodes[n.parent]) nodes.unshift(n);
  return nodes;
}

/** Where a node stands among the alternatives: {at: 1, of: 3}. */
export function place(conversation, node) {
  const ids = conversation.nodes[node.parent].children;
  return { at: ids.indexOf(node.id), of: ids.length };
}

/** Shows the alternative `step` places on. */
export function turn(conversation, node, step) {
  const above = conversation.nodes[node.parent];
  const to = above.children[above.children.indexOf(node.id) + step];
  if (to) above.chosen = to;
}

/** A title out of the first message. */
export function titleOf(text, pictures) {
  const line = text.trim().split('\n', 1)[0];
  if (!line) return pictures ? 'About a picture' : 'New conversation';
  return line.length > 60 ? `${line.slice(0, 59).trimEnd()}…` : line;
}
