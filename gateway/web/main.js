// main.js - puts the page together: who is asking, the live connection, three views.
import * as api from './api.js';
import { ChatView } from './chat/view.js';
import { h } from './dom.js';
import { askForKey } from './entry.js';
import { icon } from './icons.js';
import * as keys from './keys.js';
import { Live } from './live.js';
import { PoolView } from './pool/view.js';
import { RequestsView } from './requests/view.js';
import { statusLine } from './status.js';
import { tabs } from './tabs.js';
import { themeButton } from './theme.js';

const live = new Live();
const views = {
  chat: new ChatView(live),
  pool: new PoolView(live),
  requests: new RequestsView(live),
};
const keyButton = h('button', { type: 'button', class: 'icon-button', hidden: true, title: 'Use another key',
  'aria-label': 'Use another key', onclick: () => enter('Enter the key to use from now on.') }, icon('key'));

document.getElementById('tools').append(statusLine(live), keyButton, themeButton());
document.getElementById('views').replaceChildren(...Object.values(views).map((v) => v.element));
tabs(document.getElementById('tabs'), views);

function admit(me) {
  keyButton.hidden = !me.keys;
  keyButton.title = me.known ? `Key “${me.name}”. Use another key` : 'Use another key';
  for (const view of Object.values(views)) view.admit?.(me);
  live.start();
}

let entering = false;
async function enter(reason) {
  if (entering) return;
  entering = true;
  live.stop();
  admit(await askForKey(reason));
  entering = false;
}
keys.onRefused(() => enter('The gateway does not accept this key any more.'));

// The gateway may be just starting, so the first question is asked until it is answered.
async function begin() {
  for (let wait = 500; ; wait = Math.min(8000, wait * 2)) {
    try {
      const me = await api.me();
      if (me.keys && !me.known) await enter(keys.get() ? 'The gateway does not know the stored key.' : '');
      else admit(me);
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}
begin();
