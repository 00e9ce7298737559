// thumbnails.js - pictures of a message or of the one being written: small, and large on a click.
import { modal } from '../dialog.js';
import { h } from '../dom.js';
import { icon } from '../icons.js';

const show = (picture, url) =>
  modal(picture.name || 'Picture', (close) => [
    h('img', { src: url, alt: picture.name, class: 'large-picture' }),
    h('p', { class: 'muted' }, `${picture.width} × ${picture.height}${picture.note ? `, ${picture.note}` : ''}`),
    h('div', { class: 'actions' }, h('button', { type: 'button', class: 'button', autofocus: true, onclick: () => close() }, 'Close')),
  ], { className: 'wide' });

/** picture: {id, name, width, height, note}; blob may be a promise. remove: adds a button for it. */
export function thumbnail(picture, blob, remove) {
  // With its measures the picture has its place before it is there.
  const image = h('img', { alt: '', width: picture.width, height: picture.height });
  const label = `Picture ${picture.name}, ${picture.width} × ${picture.height}${picture.note ? `, ${picture.note}` : ''}`;
  const button = h('button', { type: 'button', class: 'thumbnail-picture', 'aria-label': label, title: label,
    onclick: async () => {
      const shown = await blob;
      if (!shown) return;
      const url = URL.createObjectURL(shown);
      await show(picture, url);
      URL.revokeObjectURL(url);
    } }, image);
  Promise.resolve(blob).then((shown) => {
    if (!shown) return button.append('lost');
    image.src = URL.createObjectURL(shown);
    image.onload = () => URL.revokeObjectURL(image.src); // what is drawn stays
    return undefined;
  });
  return h('li', { class: 'thumbnail' },
    h('span', { class: 'frame' }, button,
      remove ? h('button', { type: 'button', class: 'icon-button small remove', 'aria-label': `Remove ${picture.name}`,
        onclick: remove }, icon('close')) : null),
    picture.note ? h('span', { class: 'note' }, picture.note) : null);
}
