// owners.js - a colour for each worker, the same in all views. A name always stands beside it.
import { h } from './dom.js';

export const COLOURS = 8; // owner-0 .. owner-7 in the style sheets
const given = new Map();

/** Workers are told of in the pool's order, so that the first ones get colours of their own. */
export function owner(name) {
  if (!given.has(name)) given.set(name, given.size % COLOURS);
  return given.get(name);
}

export const ownerChip = (name, text = name) =>
  h('span', { class: 'owner' }, h('span', { class: `swatch owner-${owner(name)}` }), text);
