// tabs.js - three views, one shown at a time; the address says which (#pool), so that reloading and
// going back work. Arrow keys move between tabs, as people who use tab lists expect.
import { h, setAttr } from './dom.js';

export function tabs(list, views, onShow) {
  const names = Object.keys(views);
  const buttons = {};
  const panels = {};
  for (const name of names) {
    const panel = views[name].element;
    Object.assign(panel, { id: `view-${name}` });
    setAttr(panel, 'role', 'tabpanel');
    setAttr(panel, 'aria-labelledby', `tab-${name}`);
    panels[name] = panel;
    buttons[name] = h('button', { type: 'button', role: 'tab', id: `tab-${name}`, class: 'tab',
      'aria-controls': panel.id, onclick: () => (location.hash = name) }, views[name].title);
  }
  list.append(...Object.values(buttons));
  list.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = names.findIndex((n) => buttons[n] === document.activeElement);
    if (at < 0 || (!step && event.key !== 'Home' && event.key !== 'End')) return;
    event.preventDefault();
    const to = step ? (at + step + names.length) % names.length : event.key === 'Home' ? 0 : names.length - 1;
    location.hash = names[to];
    buttons[names[to]].focus();
  });
  let shown = null;
  const show = () => {
    const name = names.includes(location.hash.slice(1)) ? location.hash.slice(1) : names[0];
    if (name === shown) return;
    for (const n of names) {
      panels[n].hidden = n !== name;
      setAttr(buttons[n], 'aria-selected', String(n === name));
      setAttr(buttons[n], 'tabindex', n === name ? '0' : '-1');
    }
    if (shown) views[shown].hide?.();
    shown = name;
    document.title = name === names[0] ? 'quire' : `${views[name].title} · quire`;
    views[name].show?.();
    onShow?.(name);
  };
  addEventListener('hashchange', show);
  show();
}
