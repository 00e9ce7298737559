// status.js - the state of the live connection and of the pool, always in sight.
import { sentence } from './api.js';
import { h, setAttr, setText } from './dom.js';

export function statusLine(live) {
  const dot = h('span', { class: 'dot' });
  const words = h('span', { class: 'status-words' });
  const again = h('button', { type: 'button', class: 'link-button', hidden: true, onclick: () => live.retry() }, 'Try now');
  // Seconds count down in the title only: a live region that changes each second would never be quiet.
  const element = h('div', { class: 'status' }, h('span', { role: 'status', class: 'status-text' }, dot, words), again);
  const show = () => {
    const pool = live.pool;
    let kind = 'wait';
    let text = 'Connecting';
    if (live.state === 'live' && pool?.connected) {
      const up = pool.workers.filter((w) => w.state === 'up').length;
      kind = up ? 'good' : 'bad';
      text = up ? 'Live' : 'No worker is up';
    } else if (live.state === 'live') {
      kind = 'bad';
      text = 'No broker';
    } else if (live.state === 'waiting') {
      kind = 'bad';
      text = 'Reconnecting';
    } else if (live.state === 'off') text = 'Not connected';
    setAttr(dot, 'data-kind', kind);
    setText(words, text);
    setAttr(element, 'title', live.state === 'waiting' ? live.trouble : live.state === 'live' ? sentence(pool?.trouble ?? '') || null : null);
    again.hidden = live.state !== 'waiting';
  };
  live.addEventListener('state', show);
  live.addEventListener('pool', show);
  show();
  return element;
}
