// pool.mjs - a real pool with a gateway for tests: quire up with the demo model, in directories of
// its own, on a free port, with a key file. Nothing of it is left behind, whatever happens.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const demo = path.join(root, 'deploy/demo');
export const bin = process.env.QUIRE_BIN_DIR ?? path.join(root, 'build/release/bin');
const START_MS = 120_000; // a sanitizer's build on a busy machine
const STOP_MS = 30_000;
const ANSWER_MS = 60_000; // for an answer to a question of the tests' own

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Tries until it is true; the sentence says what did not come. */
export async function until(test, sentence, ms = START_MS) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await test();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${sentence} within ${ms / 1000} s`);
    await pause(200);
  }
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** A key and its section of the key file, as people make them. */
export function newKey(name, ...settings) {
  const text = execFileSync(path.join(bin, 'quire-gateway'), ['--new-key', name], { encoding: 'utf8' });
  return { key: /quire-\S+/.exec(text)[0], section: [text.slice(text.indexOf(`[${name}]`)).trim(), ...settings, ''].join('\n') };
}

/** Asks over HTTP as any client would, with the admin's key; gives the answer's message. */
export async function ask(pool, messages) {
  const response = await fetch(`${pool.url}v1/chat/completions`, { method: 'POST', body: JSON.stringify({ messages }), signal: AbortSignal.timeout(ANSWER_MS),
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${pool.admin}` } });
  const answer = await response.json();
  if (!response.ok) throw new Error(JSON.stringify(answer));
  return { role: 'assistant', content: answer.choices[0].message.content };
}

const picture = (name, type) => ({ type: 'image_url',
  image_url: { url: `data:image/${type};base64,${fs.readFileSync(path.join(demo, 'pictures', name)).toString('base64')}` } });

/** Each worker looks at a picture alone, so that the broker knows how quick they are. */
async function measure(pool) {
  const names = (await pool.live()).workers.map((w) => w.name);
  const tell = (name, what) => fetch(`${pool.url}quire/workers/${name}/${what}`, { method: 'POST', body: '{}',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${pool.admin}` } }).then((r) => r.text());
  for (const name of names) {
    const others = names.filter((n) => n !== name);
    for (const other of others) await tell(other, 'drain');
    for (const file of ['shapes.png', 'number.png'])
      await ask(pool, [{ role: 'user', content: [picture(file, 'png'), { type: 'text', text: 'What do you see?' }] }]);
    for (const other of others) await tell(other, 'undrain');
  }
}

/** Some conversations under two system texts, all at a time: something to look at in a pool. */
export async function traffic(pool) {
  await measure(pool);
  const pictures = [picture('shapes.png', 'png'), picture('number.png', 'png'), picture('word.jpg', 'jpeg')];
  const turns = [
    ['How many circles?', 'What colour is the star?', 'Where is the square?'],
    ['What number is shown?', 'Is there a circle?'],
    ['What does it say?', 'What number is shown?', 'What do you see?'],
  ];
  const systems = ['You look at pictures of shapes, numbers and words and answer in one sentence.', 'You see what is in a picture. Answer briefly.'];
  await Promise.all([0, 1, 2, 3, 4, 5, 6, 7, 8].map(async (i) => {
    const messages = [{ role: 'system', content: systems[i % 2] }];
    for (const [at, text] of turns[i % 3].slice(i < 6 ? 0 : 1).entries()) {
      messages.push({ role: 'user', content: at ? text : [pictures[i % 3], { type: 'text', text }] });
      messages.push(await ask(pool, messages));
    }
  }));
}

/**
 * {url, admin, plain (keys), log(), live(key) (the first state of the pool), gatewayPid(), stop()}.
 * The port stays the same when quire up starts the gateway again.
 */
export async function startPool({ workers = 2, keys = true } = {}) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'quire-web-'));
  fs.chmodSync(dir, 0o700);
  const admin = newKey('admin', 'admin = yes');
  const plain = newKey('plain');
  const keyFile = path.join(dir, 'keys.ini');
  fs.writeFileSync(keyFile, `${admin.section}\n${plain.section}`, { mode: 0o600 });
  const url = `http://127.0.0.1:${await freePort()}/`;
  // Tests stop workers for a while, and busy machines do too: silence is no death here.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('QUIRE_')));
  Object.assign(env, { QUIRE_RUNTIME_DIR: dir, QUIRE_CONFIG: '/dev/null', QUIRE_DEAD_MS: '60000', XDG_CACHE_HOME: path.join(dir, 'cache') });
  const log = fs.openSync(path.join(dir, 'log'), 'w');
  const up = spawn(path.join(bin, 'quire'), ['up', '--workers', String(workers), '--drain-seconds', '1',
    '--model', path.join(demo, 'quire-demo.gguf'), '--mmproj', path.join(demo, 'quire-demo-mmproj.gguf'),
    '--kv-memory', '16M', '--http', new URL(url).host, ...(keys ? ['--keys', keyFile] : [])],
    { env, stdio: ['ignore', log, log], detached: true }); // a group of its own
  fs.closeSync(log);
  const ended = once(up, 'exit');
  const killAll = () => {
    try {
      process.kill(-up.pid, 'SIGKILL');
    } catch {
      // nobody is left
    }
  };
  process.on('exit', killAll); // also when the tests are broken off

  const pool = {
    url, admin: admin.key, plain: plain.key,
    log: () => fs.readFileSync(path.join(dir, 'log'), 'utf8'),
    async live(key = admin.key) {
      const stop = new AbortController();
      const timer = setTimeout(() => stop.abort(), ANSWER_MS);
      const response = await fetch(`${url}quire/live`, { signal: stop.signal, headers: keys ? { Authorization: `Bearer ${key}` } : {} });
      let text = '';
      for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        const found = /^event: pool\ndata: (.*)\n\n/m.exec(text);
        if (!found) continue;
        clearTimeout(timer);
        stop.abort();
        return JSON.parse(found[1]);
      }
      throw new Error(`/quire/live ended with status ${response.status}`);
    },
    gatewayPid() {
      const children = fs.readFileSync(`/proc/${up.pid}/task/${up.pid}/children`, 'utf8').trim().split(' ');
      return Number(children.find((pid) => fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0].endsWith('quire-gateway')));
    },
    async stop() {
      up.kill('SIGTERM');
      const timer = setTimeout(killAll, STOP_MS);
      await ended;
      clearTimeout(timer);
      killAll();
      process.off('exit', killAll);
      fs.rmSync(dir, { recursive: true, force: true });
    },
  };
  try {
    await until(async () => {
      if (up.exitCode !== null) throw new Error(`quire up ended:\n${pool.log()}`);
      return fetch(`${url}readyz`).then((r) => r.text().then(() => r.ok), () => false);
    }, 'the pool did not become ready');
    await until(async () => (await pool.live()).workers.filter((w) => w.state === 'up').length === workers, 'not all workers came');
  } catch (error) {
    error.message += `\n${pool.log()}`;
    await pool.stop();
    throw error;
  }
  return pool;
}
