// page.test.mjs - the page in a real browser, against a real pool.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { checkAccess, checkWidth, openBrowser, shot } from './browser.mjs';
import { ask, demo, pause, root, startPool, traffic, until } from './pool.mjs';
import { openSlowDoor } from './slow.mjs';

const timeout = Number(process.env.QUIRE_TEST_MS ?? 120_000); // of each test
const shapes = path.join(demo, 'pictures/shapes.png');
const word = path.join(demo, 'pictures/word.jpg');

let pool;
let door; // the browser's way to the gateway
let browser;
let page;

before(async () => {
  pool = await startPool();
  door = await openSlowDoor(pool.url);
  browser = await openBrowser();
  page = browser.page;
}, { timeout: 3 * timeout });

after(async () => {
  await browser?.close();
  door?.close();
  await pool?.stop();
}, { timeout });

const go = (view) => page.goto(`${door.url}#${view}`);
const input = () => page.getByLabel('Message', { exact: true });
const answers = () => page.locator('.message.assistant');
const lastAnswer = () => answers().last();
const newConversation = () => page.getByRole('button', { name: 'New conversation' }).click();

/** Sends a message and waits for the whole answer with its bar. */
async function say(text) {
  const before_ = await answers().count();
  await input().fill(text);
  await page.keyboard.press('Enter');
  await until(async () => (await answers().count()) > before_, 'no answer began');
  await lastAnswer().locator('.figures').waitFor();
  return (await lastAnswer().locator('.body').textContent()).trim();
}

async function enterKey(key) {
  await page.getByLabel('Key', { exact: true }).fill(key);
  await page.getByRole('button', { name: 'Continue' }).click();
}

/** The waiting positions of the last answer's bar: [{label, reused, computed}]. */
const segments = () => lastAnswer().locator('.segment').evaluateAll((blocks) => blocks.map((b) => ({
  label: b.getAttribute('aria-label'), reused: Boolean(b.querySelector('.reused')), computed: Boolean(b.querySelector('.computed')),
})));

test('files are served from memory with their type, a tag and a policy', { timeout }, async () => {
  const index = await fetch(pool.url);
  assert.equal(index.status, 200);
  await index.text();
  assert.match(index.headers.get('Content-Type'), /^text\/html/);
  assert.match(index.headers.get('Content-Security-Policy'), /^default-src 'self'; img-src 'self' data: blob:;/);
  assert.equal(index.headers.get('Cache-Control'), 'no-cache');
  assert.equal(index.headers.get('X-Content-Type-Options'), 'nosniff');
  for (const [file, type] of [['main.js', 'text/javascript'], ['chat/view.js', 'text/javascript'], ['style/base.css', 'text/css'], ['icon.svg', 'image/svg+xml']]) {
    const response = await fetch(`${pool.url}page/${file}`);
    assert.equal(response.status, 200, file);
    assert.ok(response.headers.get('Content-Type').startsWith(type), file);
    assert.equal(await response.text(), fs.readFileSync(path.join(root, 'gateway/web', file), 'utf8'));
    const tag = response.headers.get('ETag');
    assert.match(tag, /^"[0-9a-f]{32}"$/);
    const again = await fetch(`${pool.url}page/${file}`, { headers: { 'If-None-Match': `"other", ${tag}` } });
    assert.equal(again.status, 304);
    assert.equal(await again.text(), '');
    const changed = await fetch(`${pool.url}page/${file}`, { headers: { 'If-None-Match': '"other"' } });
    assert.equal(changed.status, 200);
    await changed.text();
  }
  for (const file of ['none.js', '../index.html', 'chat', '%2e%2e/embed.c', 'embed.c']) {
    const response = await fetch(`${pool.url}page/${file}`);
    assert.equal(response.status, 404, file);
    await response.text();
  }
});

test('a stranger is asked for a key, and a wrong one is refused', { timeout }, async () => {
  await go('chat');
  await page.getByRole('dialog', { name: 'Your key' }).waitFor();
  await checkAccess(page, 'key dialog');
  await page.keyboard.press('Escape');
  await enterKey('quire-wrong');
  await page.getByText('The gateway does not know this key.').waitFor();
  await shot(page, 'key');
  await enterKey(pool.admin);
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.getByText('Live', { exact: true }).waitFor();
  assert.equal(await page.evaluate(() => localStorage.getItem('quire-key')), null, 'only this tab keeps it');
});

test('an empty chat says what to do', { timeout }, async () => {
  await page.getByRole('heading', { name: 'Ask about pictures' }).waitFor();
  assert.ok(await page.getByRole('button', { name: 'Send' }).isDisabled());
  await checkAccess(page, 'empty chat');
  await shot(page, 'chat-empty');
});

test('a picture and a question are sent, and the answer is seen growing', { timeout }, async () => {
  await page.setInputFiles('input[type=file]', shapes);
  await page.getByRole('list', { name: 'Pictures to send' }).getByRole('button', { name: /Picture shapes.png/ }).waitFor();
  // The demo model is done in some milliseconds, so the network is the slow part.
  door.pace(2000);
  await input().fill('How many circles are there?');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Stop the answer' }).waitFor();
  const texts = await lastAnswer().evaluate((answer) => new Promise((resolve) => {
    const grown = new Set();
    const timer = setInterval(() => {
      const text = answer.querySelector('.body').textContent;
      if (text) grown.add(text);
      if (!answer.querySelector('.figures')) return;
      clearInterval(timer);
      resolve([...grown]);
    }, 10);
  }));
  door.pace(0);
  assert.ok(texts.length >= 2, `seen: ${texts.join(' | ')}`);
  assert.ok(texts.at(-1).startsWith(texts[0]));
  assert.match(texts.at(-1), /two/);
  assert.match(await lastAnswer().locator('.figures').textContent(), /worker-\d · first token .* ms \(queue .*, pictures .*, prompt .*\) · .* tok\/s · reused 0 of \d+ positions/);
  const bar = await segments();
  assert.equal(bar.length, 2);
  assert.match(bar[0].label, /Segment 1 of 2: user, picture, \d+ positions, all computed/);
});

test('the bar of the second turn shows what was reused', { timeout }, async () => {
  await say('What colour are they?');
  const bar = await segments();
  assert.equal(bar.length, 4);
  assert.ok(bar[0].reused && !bar[0].computed, bar[0].label);
  assert.ok(bar[3].computed, bar[3].label);
  assert.doesNotMatch(await lastAnswer().locator('.figures').textContent(), /reused 0 of/);
  await shot(page, 'chat');
});

test('a bar is one stop of the Tab key, arrows move in it, and a tip says more', { timeout }, async () => {
  const first = lastAnswer().locator('.segment').first();
  await lastAnswer().getByRole('button', { name: 'Copy the answer' }).focus();
  await page.keyboard.press('Shift+Tab');
  await page.locator('.tip:not([hidden])').waitFor();
  assert.ok(await first.evaluate((e) => e === document.activeElement));
  assert.match(await page.locator('.tip').textContent(), /user, picture\d+ positions, all reused/);
  await page.keyboard.press('ArrowRight');
  assert.ok(await lastAnswer().locator('.segment').nth(1).evaluate((e) => e === document.activeElement));
  await page.keyboard.press('Escape');
  assert.ok(await page.locator('.tip').isHidden());
});

test('an answer can be stopped while it comes', { timeout }, async () => {
  door.pace(400);
  await input().fill('And the square?');
  await page.keyboard.press('Enter');
  await until(async () => (await lastAnswer().locator('.body').textContent()).length > 0, 'nothing came');
  await page.getByRole('button', { name: 'Stop the answer' }).click();
  await lastAnswer().getByText('Stopped.').waitFor();
  door.pace(0);
  await lastAnswer().locator('.figures').getByText(/worker-/).waitFor(); // asked for afterwards
  await page.getByRole('button', { name: 'Send' }).waitFor();
});

test('an earlier message can be edited; both branches are kept', { timeout }, async () => {
  const first = page.locator('.message.user').first();
  await first.getByRole('button', { name: 'Edit' }).click();
  await page.getByLabel('Edited message').fill('How many squares are there?');
  await page.keyboard.press('Enter');
  await until(async () => (await answers().count()) === 1, 'the branch did not begin');
  await lastAnswer().locator('.figures').waitFor();
  assert.match(await lastAnswer().locator('.body').textContent(), /one|square/i);
  const edited = page.locator('.message.user').first();
  assert.equal(await edited.locator('.of').textContent(), '2 / 2');
  assert.equal(await edited.getByRole('button', { name: /Picture shapes.png/ }).count(), 1, 'the picture came along');
  await shot(page, 'chat-branch');
  await edited.getByRole('button', { name: 'Earlier version' }).click();
  await page.locator('.message.user').first().getByText('How many circles are there?').waitFor();
  assert.equal(await page.locator('.message.user').first().locator('.of').textContent(), '1 / 2');
  assert.ok((await answers().count()) >= 3);
});

test('an answer can be asked for again', { timeout }, async () => {
  await answers().nth(1).getByRole('button', { name: 'Answer again' }).click();
  await answers().nth(1).getByText('2 / 2').waitFor();
  await answers().nth(1).locator('.figures').waitFor();
});

test('conversations and pictures outlive the page, and can be renamed and deleted', { timeout }, async () => {
  await page.reload();
  await page.getByText('How many circles are there?').first().waitFor();
  const picture = page.locator('.message .thumbnail-picture img').first();
  await until(() => picture.evaluate((e) => e.naturalWidth > 0), 'the picture was not kept');
  await page.locator('.message .thumbnail-picture').first().click();
  const large = page.getByRole('dialog', { name: 'shapes.png' });
  await until(() => large.locator('img').evaluate((e) => e.naturalWidth > 0), 'the picture was not shown large');
  await large.getByRole('button', { name: 'Close' }).click();
  await newConversation();
  await say('What do you see?');
  const list = page.getByRole('navigation', { name: 'Conversations' });
  await until(async () => (await list.locator('.conversation').count()) === 2, 'the list did not grow');
  await list.locator('li').first().hover();
  await list.getByRole('button', { name: 'Rename What do you see?' }).click();
  await page.getByLabel('Title').fill('Nothing to see');
  await page.keyboard.press('Enter');
  await list.getByText('Nothing to see').waitFor();
  await list.locator('li').first().hover();
  await list.getByRole('button', { name: 'Delete Nothing to see' }).click();
  await checkAccess(page, 'question before deleting');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await until(async () => (await list.locator('.conversation').count()) === 1, 'it was not deleted');
});

test('pictures can be pasted and dropped; others than JPEG and PNG are converted, large ones scaled', { timeout }, async () => {
  await newConversation();
  const jpeg = fs.readFileSync(word).toString('base64');
  await page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const data = () => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], 'word.jpg', { type: 'image/jpeg' }));
      return transfer;
    };
    document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data(), bubbles: true, cancelable: true }));
    document.querySelector('.thread').dispatchEvent(new DragEvent('drop', { dataTransfer: data(), bubbles: true, cancelable: true }));
  }, jpeg);
  const waiting = page.getByRole('list', { name: 'Pictures to send' });
  await until(async () => (await waiting.locator('li').count()) === 2, 'two pictures did not come');
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="3000" height="1500"><circle cx="700" cy="700" r="400" fill="red"/></svg>';
  await page.setInputFiles('input[type=file]', { name: 'large.svg', mimeType: 'image/svg+xml', buffer: Buffer.from(svg) });
  await page.getByText('scaled from 3000 × 1500 to 2048 × 1024, converted to PNG').waitFor();
  await page.setInputFiles('input[type=file]', { name: 'broken.png', mimeType: 'image/png', buffer: Buffer.from('no picture') });
  await page.getByText('“broken.png” is not a picture that this browser can read.').waitFor();
  await shot(page, 'chat-pictures');
  await waiting.getByRole('button', { name: 'Remove large.svg' }).click();
  await waiting.getByRole('button', { name: 'Remove word.jpg' }).first().click();
  assert.match(await say('What does it say?'), /coffee/);
});

test('options and a system text go with the conversation', { timeout }, async () => {
  await page.getByRole('button', { name: 'System text and options' }).click();
  await page.getByLabel('System text', { exact: true }).fill('Answer briefly.');
  await page.getByLabel('Largest number of tokens').fill('2');
  await page.getByLabel('Seed').fill('7');
  await page.getByLabel('Seed').blur();
  await checkAccess(page, 'options');
  await shot(page, 'chat-options');
  const sent = page.waitForRequest('**/v1/chat/completions');
  await say('What does it say?');
  const body = (await sent).postDataJSON();
  assert.deepEqual([body.max_tokens, body.seed, body.stream, body.messages[0]], [2, 7, true, { role: 'system', content: 'Answer briefly.' }]);
  await page.getByText('Cut off at the largest number of tokens.').waitFor();
  await page.getByLabel('Largest number of tokens').fill('');
  await page.getByLabel('Largest number of tokens').blur();
  await page.getByRole('button', { name: 'System text and options' }).click();
});

test('what goes wrong is a sentence, and can be tried again', { timeout }, async () => {
  const known = browser.errors.length;
  await page.route('**/v1/chat/completions', (route) => route.fulfill({ status: 429, headers: { 'Retry-After': '2' }, contentType: 'application/json',
    body: JSON.stringify({ error: { message: 'the queue is full', type: 'rate_limit_error', code: 'busy' } }) }));
  await input().fill('What is it?');
  await page.keyboard.press('Enter');
  await page.getByText('The queue is full. It asks to wait 2 s.').waitFor();
  await page.unroute('**/v1/chat/completions');
  await shot(page, 'chat-failure');
  await checkAccess(page, 'a failure');
  await page.getByRole('button', { name: 'Try again' }).click();
  await lastAnswer().locator('.figures').waitFor();
  browser.errors.splice(known); // the browser itself complains about the status
});

test('text of models stays text', { timeout }, async () => {
  const html = await page.evaluate(async () => {
    const { render } = await import('./page/chat/markdown.js');
    const box = document.createElement('div');
    render(box, '# <b>Title</b>\n\n<img src=x onerror="alert(1)"> **bold** `a<b` 2 * 3 * 4\n\n- one\n- two\n  1. deep\n\n```js\nlet x = "<script>";\n```\n\n> said\n\n[link](javascript:alert(1))');
    return { tags: [...box.querySelectorAll('*')].map((e) => e.localName).filter((n) => !['svg', 'path', 'span'].includes(n)), text: box.textContent };
  });
  assert.deepEqual(html.tags, ['h3', 'p', 'strong', 'code', 'ul', 'li', 'li', 'ol', 'li', 'figure', 'figcaption', 'button', 'pre', 'code', 'blockquote', 'p']);
  for (const kept of ['<b>Title</b>', '<img src=x onerror="alert(1)">', '2 * 3 * 4', '<script>', '[link](javascript:alert(1))']) assert.ok(html.text.includes(kept), kept);
});

test('the pool view shows workers, shares, times, predictions and the segment tree', { timeout }, async () => {
  await go('pool');
  await page.locator('[data-worker="worker-2"]').waitFor();
  for (const text of ['In flight', 'Pages in use', 'Incarnation', 'Memory']) await page.locator('[data-worker="worker-1"]').getByText(text).waitFor();
  await page.getByText('Last 15 minutes').waitFor();
  await page.locator('.chart .point').first().waitFor();
  await traffic(pool);
  await page.locator('.runs .runs .run .band').first().waitFor(); // conversations parted below the system text
  await until(async () => {
    await page.mouse.move(0, 0); // coming to it may scroll, and scrolling hides the tip
    await page.locator('.run .segment').first().hover();
    return page.locator('.tip:not([hidden])').getByText(/held by worker-/).isVisible();
  }, 'no tip said who holds a segment');
  await page.locator('.run .toggle[aria-expanded="true"]:not([disabled])').first().click();
  await page.locator('.runs .runs').first().waitFor({ state: 'hidden' });
  await page.locator('.run .toggle[aria-expanded="false"]:not([disabled])').first().click();
  await until(async () => Number((await page.locator('.tile').nth(2).locator('.value').textContent()).replace(/\D/g, '')) >= 5, 'no answers were counted');
  await page.setViewportSize({ width: 1280, height: 1800 });
  await page.locator('#view-pool').evaluate((e) => e.scrollTo(0, 0));
  await shot(page, 'pool');
  await page.setViewportSize({ width: 1280, height: 800 });
  assert.match(await page.getByRole('meter', { name: 'Last minute' }).first().getAttribute('aria-valuetext'), /% of|no requests/);
});

test('a worker is drained and undrained after a confirmation that tells what is lost', { timeout }, async () => {
  const card = page.locator('[data-worker="worker-1"]');
  const button = (name) => card.getByRole('button', { name: `${name} worker-1`, exact: true });
  await button('Drain').click(); // once it is up in the browser's eyes too
  const dialog = page.getByRole('dialog', { name: 'Drain worker-1?', exact: true });
  await dialog.getByText(/It holds/).first().waitFor();
  await checkAccess(page, 'drain dialog');
  await shot(page, 'pool-drain');
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  assert.equal((await pool.live()).workers.find((w) => w.name === 'worker-1').state, 'up');
  await button('Drain').click();
  await dialog.getByRole('button', { name: 'Drain', exact: true }).click();
  await card.getByText(/^drain(ing|ed)$/).waitFor();
  await button('Undrain').click();
  await page.getByRole('dialog', { name: 'Undrain worker-1?', exact: true }).getByRole('button', { name: 'Undrain' }).click();
  await card.getByText('up', { exact: true }).waitFor();
});

test('requests show where their time went and why they went where they went', { timeout }, async () => {
  await go('requests');
  const row = page.locator('[data-outcome="done"]').first();
  await row.locator('.waterfall rect').first().waitFor({ state: 'attached' });
  await row.locator('button.request').click();
  await row.locator('.explanation').waitFor();
  assert.match(await row.locator('.explanation').textContent(), /worker-\d/);
  assert.ok((await row.locator('.explanation tbody tr').count()) === 2);
  assert.equal(await row.locator('.explanation tr.chosen').count(), 1);
  await row.locator('.segment').first().waitFor();
  await shot(page, 'requests');
  await page.getByRole('button', { name: 'Not answered' }).click();
  assert.equal(await page.locator('[data-outcome="done"]').count(), 0);
  await page.getByRole('button', { name: 'All', exact: true }).click();
});

test('a request that ends appears at once', { timeout }, async () => {
  const row = page.locator('.requests > li').first();
  const known = await row.getAttribute('data-request');
  await ask(pool, [{ role: 'user', content: 'Hello' }]);
  await until(async () => (await row.getAttribute('data-request')) !== known, 'no row came');
});

test('all views are legible in light and dark, and at the width of a telephone', { timeout }, async () => {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    for (const [width, height] of [[1280, 800], [360, 740]]) {
      await page.setViewportSize({ width, height });
      for (const view of ['chat', 'pool', 'requests']) {
        await page.evaluate((name) => (location.hash = name), view);
        await page.locator(`#view-${view}:not([hidden])`).waitFor();
        await checkAccess(page, `${view}, ${colorScheme}, ${width} px`);
        await checkWidth(page, `${view}, ${colorScheme}, ${width} px`);
        await shot(page, `${view}-${colorScheme}-${width}`);
      }
    }
  }
});

test('on a telephone the list of conversations opens and closes', { timeout }, async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  await go('chat');
  await page.getByRole('button', { name: 'Conversations' }).click();
  await page.getByRole('button', { name: 'New conversation' }).waitFor();
  await checkAccess(page, 'drawer');
  await shot(page, 'chat-drawer');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'New conversation' }).waitFor({ state: 'hidden' });
  await page.setViewportSize({ width: 1280, height: 800 });
});

test('the colours can be chosen, and tabs work with the keyboard', { timeout }, async () => {
  await page.emulateMedia({ colorScheme: 'light' });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.getByRole('button', { name: 'Colours: as the system' }).click();
  await page.getByRole('button', { name: 'Colours: light' }).click();
  assert.notEqual(await ground(), light);
  await page.reload();
  assert.notEqual(await ground(), light, 'the choice is kept');
  await page.getByRole('button', { name: 'Colours: dark' }).click();
  await page.getByRole('tab', { name: 'Chat' }).focus();
  await page.keyboard.press('ArrowRight');
  await page.locator('#view-pool:not([hidden])').waitFor();
  assert.ok(await page.getByRole('tab', { name: 'Pool' }).evaluate((e) => e === document.activeElement));
});

test('a broken connection is shown, and comes back by itself', { timeout }, async () => {
  await page.getByText('Live', { exact: true }).waitFor();
  const known = browser.errors.length;
  process.kill(pool.gatewayPid(), 'SIGKILL');
  await page.getByText('Reconnecting', { exact: true }).waitFor();
  await shot(page, 'pool-reconnecting');
  await page.getByText('Live', { exact: true }).waitFor();
  browser.errors.splice(known); // refused connections, said by the browser itself
});

test('without an admin’s key nobody sees the buttons for draining', { timeout }, async () => {
  await page.evaluate(() => sessionStorage.clear());
  await page.reload();
  await page.getByRole('dialog', { name: 'Your key' }).waitFor();
  await page.getByLabel('Remember it in this browser').check();
  await enterKey(pool.plain);
  await page.locator('[data-worker="worker-1"]').waitFor();
  assert.equal(await page.getByRole('button', { name: /rain worker/ }).count(), 0);
  assert.equal(await page.evaluate(() => localStorage.getItem('quire-key')), pool.plain, 'remembered, as asked');
});

test('the console had nothing to complain about', { timeout }, async () => {
  await pause(200);
  assert.deepEqual(browser.errors, []);
});
