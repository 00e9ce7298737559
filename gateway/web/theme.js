// theme.js - light, dark, or as the system has it. A class of its own on <html> wins over the system.
import { h, setAttr } from './dom.js';
import { icon } from './icons.js';

const NAME = 'quire-theme';
const order = ['auto', 'light', 'dark'];
const icons = { auto: 'auto', light: 'sun', dark: 'moon' };
const words = { auto: 'as the system', light: 'light', dark: 'dark' };

function stored() {
  try {
    const value = localStorage.getItem(NAME);
    return order.includes(value) ? value : 'auto';
  } catch {
    return 'auto';
  }
}

export function themeButton() {
  let theme = stored();
  const button = h('button', { type: 'button', class: 'icon-button' });
  const show = () => {
    setAttr(document.documentElement, 'data-theme', theme === 'auto' ? null : theme);
    const label = `Colours: ${words[theme]}`;
    setAttr(button, 'aria-label', label);
    setAttr(button, 'title', label);
    button.replaceChildren(icon(icons[theme]));
  };
  button.addEventListener('click', () => {
    theme = order[(order.indexOf(theme) + 1) % order.length];
    try {
      localStorage.setItem(NAME, theme);
    } catch {
      // then only until the page is left
    }
    show();
  });
  show();
  return button;
}
