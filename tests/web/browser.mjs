// browser.mjs - a headless Chromium with a profile of its own, and what the tests look at in it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const shots = process.env.QUIRE_SHOTS; // a folder for pictures of the page; none without it
const WAIT_MS = 60_000; // for anything to appear; a sanitizer's build on a busy machine

/** {page, errors, close()}; errors gathers what the console complains about. */
export async function openBrowser(viewport = { width: 1280, height: 800 }) {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'quire-profile-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
    viewport,
  }).catch((error) => {
    fs.rmSync(profile, { recursive: true, force: true });
    throw error;
  });
  const page = context.pages()[0];
  page.setDefaultTimeout(WAIT_MS);
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && errors.push(`${message.text()} ${message.location().url}`));
  return { page, errors, async close() {
    await context.close();
    fs.rmSync(profile, { recursive: true, force: true, maxRetries: 3 });
  } };
}

/** A picture of the page as it is now. */
export async function shot(page, name) {
  if (!shots) return;
  fs.mkdirSync(shots, { recursive: true });
  await page.mouse.move(0, 0);
  await page.screenshot({ path: path.join(shots, `${name}.png`) });
}

/** axe-core finds nothing serious or critical in what is shown. */
export async function checkAccess(page, where) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run());
  const bad = violations.filter((v) => ['serious', 'critical'].includes(v.impact))
    .map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(' ')).join(', ')}`);
  assert.deepEqual(bad, [], `${where}: findings of axe-core`);
}

/** Nothing makes the page wider than the window. */
export async function checkWidth(page, where) {
  const [inside, window] = await page.evaluate(() => [Math.max(document.documentElement.scrollWidth, ...[...document.querySelectorAll('.view:not([hidden]), .thread-scroll')].map((e) => e.scrollWidth - e.clientWidth + innerWidth)), innerWidth]);
  assert.ok(inside <= window, `${where}: ${inside} px in a window of ${window} px`);
}
