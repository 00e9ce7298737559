// dom.js - making and updating elements without a framework.
//
// Text from outside (models, people, workers) only ever becomes a text node: nothing here or
// elsewhere on the page sets innerHTML.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'class') element.setAttribute('class', value);
    else if (name === 'dataset') Object.assign(element.dataset, value);
    else if (name === 'value' || name === 'checked') element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

/** h('p', {class: 'note', onclick: f}, 'text', element, [more]) */
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);
export const svg = (tag, props, ...children) =>
  fill(document.createElementNS(SVG, tag), props, children);

/** Sets the text only when it is another one: selections and screen readers notice each change. */
export function setText(element, text) {
  const value = String(text);
  if (element.textContent !== value) element.textContent = value;
}

/** Sets or removes an attribute, only when that changes something. */
export function setAttr(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

/**
 * Keeps the children of `container` in step with `items` and keeps each item's element, so that
 * focus, open details and hover survive an update. create(item) gives {element, update(item)}.
 */
export function keyed(container, items, keyOf, create) {
  const parts = (container.parts ??= new Map());
  const wanted = new Set();
  let place = container.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    if (wanted.has(key)) continue;
    wanted.add(key);
    let part = parts.get(key);
    if (!part) parts.set(key, (part = create(item)));
    part.update?.(item);
    if (part.element === place) place = place.nextElementSibling;
    else container.insertBefore(part.element, place);
  }
  for (const [key, part] of parts) {
    if (wanted.has(key)) continue;
    part.element.remove();
    parts.delete(key);
  }
}

let lastId = 0;
/** An id for aria-labelledby and its like, unique on this page. */
export const freshId = (prefix) => `${prefix}-${++lastId}`;
