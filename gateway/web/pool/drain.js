// drain.js - taking a worker out of service and back, after saying what that costs.
import * as api from '../api.js';
import { confirm } from '../dialog.js';
import { h } from '../dom.js';
import { count, plural } from '../format.js';

function consequences(name, losses) {
  const lines = [];
  lines.push(losses.in_flight
    ? `${name} first finishes ${plural(losses.in_flight, 'request')} that it has.`
    : `${name} has no requests now.`);
  const own = losses.links - losses.shared_links;
  if (losses.links)
    lines.push(`It holds ${plural(losses.links, 'segment')} of ${plural(losses.positions, 'position')} and ${plural(losses.pictures, 'picture')}.`,
      own > 0
        ? `${own === losses.links ? 'All of these segments' : `${count(own)} of these segments`} are held by nobody else: conversations that need them are computed again elsewhere.`
        : 'Others hold all of these segments too.');
  else lines.push('It holds nothing that would be lost.');
  return lines;
}

/** Asks and drains; throws a Failure when that did not work. */
export async function drain(name) {
  const losses = await api.losses(name);
  const yes = await confirm(`Drain ${name}?`, [
    h('p', null, `It gets nothing new until it is undrained.`),
    h('ul', { class: 'plain-list' }, consequences(name, losses).map((line) => h('li', null, line))),
  ], 'Drain');
  if (yes) await api.drain(name);
}

export async function undrain(name) {
  const yes = await confirm(`Undrain ${name}?`, [h('p', null, 'It gets requests again.')], 'Undrain');
  if (yes) await api.undrain(name);
}
