// markdown.js - the little of Markdown that models write, as elements: paragraphs, headings, lists,
// quotes, code. Everything becomes text nodes; there are no links and no HTML, so an answer can
// neither run anything nor lead anywhere.
import { h } from '../dom.js';
import { copyButton } from './copy.js';

const fence = /^ {0,3}(```+|~~~+)\s*([\w+#.-]*)/;
const heading = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const bullet = /^(\s*)[-*+]\s+(.*)$/;
const ordered = /^(\s*)(\d{1,9})[.)]\s+(.*)$/;
const quote = /^ {0,3}>\s?(.*)$/;
const rule = /^ {0,3}([-*_])(\s*\1){2,}\s*$/;

/** Text to blocks: {type: 'p'|'h'|'code'|'quote'|'rule'|'list', ...}. Never fails. */
export function parse(text) {
  const lines = text.replace(/\r\n?/g, '\n').split('\n');
  const blocks = [];
  let i = 0;
  const take = (test) => {
    const taken = [];
    for (let found; i < lines.length && (found = test(lines[i])) !== null; i++) taken.push(found);
    return taken;
  };
  while (i < lines.length) {
    const line = lines[i];
    let m;
    if (!line.trim()) i++;
    else if ((m = fence.exec(line))) {
      const mark = m[1];
      i++;
      const code = take((l) => (l.trim().startsWith(mark) && l.trim().replaceAll(mark[0], '') === '' ? null : l));
      i++; // the closing fence, or the end of an answer that still grows
      blocks.push({ type: 'code', language: m[2], text: code.join('\n') });
    } else if ((m = heading.exec(line))) {
      i++;
      blocks.push({ type: 'h', level: m[1].length, text: m[2] });
    } else if (rule.test(line)) {
      i++;
      blocks.push({ type: 'rule' });
    } else if (quote.test(line)) {
      const inner = take((l) => (quote.test(l) ? quote.exec(l)[1] : null));
      // Quotes in quotes stay as they were typed: depth from outside is bounded.
      blocks.push({ type: 'quote', text: inner.join('\n') });
    } else if (bullet.test(line) || ordered.test(line)) blocks.push(list(take));
    else blocks.push({ type: 'p', text: take((l) => (l.trim() && !startsBlock(l) ? l : null)).join('\n') || lines[i++] });
  }
  return blocks;
}

const startsBlock = (l) =>
  fence.test(l) || heading.test(l) || rule.test(l) || quote.test(l) || bullet.test(l) || ordered.test(l);

/** Lists to a depth of two; what is deeper stays at the second level. */
function list(take) {
  const items = [];
  let numbered = null;
  take((line) => {
    const m = ordered.exec(line) ?? bullet.exec(line);
    if (!m || rule.test(line)) {
      if (!line.trim() || !/^\s/.test(line) || !items.length) return null;
      const last = items.at(-1).items.at(-1) ?? items.at(-1);
      last.text += `\n${line.trim()}`; // a line that goes on below its item
      return line;
    }
    const isNumbered = m.length === 4;
    const item = { text: m.at(-1), numbered: isNumbered, start: isNumbered ? Number(m[2]) : 1, items: [] };
    if (m[1].length >= 2 && items.length) items.at(-1).items.push(item);
    else {
      if (numbered !== null && numbered !== isNumbered) return null; // another list begins
      numbered = isNumbered;
      items.push(item);
    }
    return line;
  });
  return { type: 'list', numbered, start: items[0].start, items };
}

// `code`, **strong**, *emphasis*; the marks must hug their words, so that "2 * 3 * 4" stays.
const marks = /(`+)(.+?)\1(?!`)|\*\*(?=\S)(.+?\S|\S)\*\*|\*(?=[^\s*])(.+?[^\s*]|[^\s*])\*(?!\*)/gs;

export function inline(text) {
  const nodes = [];
  let end = 0;
  for (const m of text.matchAll(marks)) {
    if (m.index > end) nodes.push(text.slice(end, m.index));
    if (m[2] !== undefined) nodes.push(h('code', null, m[2]));
    else if (m[3] !== undefined) nodes.push(h('strong', null, m[3]));
    else nodes.push(h('em', null, m[4]));
    end = m.index + m[0].length;
  }
  if (end < text.length) nodes.push(text.slice(end));
  return nodes;
}

const drawList = (items, numbered, start) =>
  h(numbered ? 'ol' : 'ul', numbered && start !== 1 ? { start } : null, items.map((item) =>
    h('li', null, inline(item.text),
      item.items.length ? drawList(item.items, item.items[0].numbered, item.items[0].start) : null)));

function draw(block) {
  switch (block.type) {
    case 'code':
      return h('figure', { class: 'code' },
        h('figcaption', null, h('span', null, block.language || 'text'), copyButton(() => block.text, 'Copy code')),
        h('pre', { tabindex: '0', role: 'region', 'aria-label': 'Code' }, h('code', null, block.text)));
    case 'h':
      // Below the page's own headings.
      return h(`h${Math.min(6, block.level + 2)}`, null, inline(block.text));
    case 'rule':
      return h('hr');
    case 'quote':
      return h('blockquote', null, inline(block.text));
    case 'list':
      return drawList(block.items, block.numbered, block.start);
    default:
      return h('p', null, inline(block.text));
  }
}

/**
 * Shows text in element. While an answer grows only its last blocks change: those that are as
 * before keep their elements, and with them selections and scrolled code.
 */
export function render(element, text) {
  const blocks = parse(text).map((block) => ({ block, key: JSON.stringify(block) }));
  const before = element.blocks ?? [];
  let same = 0;
  while (same < blocks.length && same < before.length && blocks[same].key === before[same].key) same++;
  while (element.childNodes.length > same) element.lastChild.remove();
  element.append(...blocks.slice(same).map(({ block }) => draw(block)));
  element.blocks = blocks;
}
