// gateway.mjs - what tests of the APIs need besides a pool: its broker, its counters, and more
// gateways beside its own, each with keys and settings of its own.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { bin, demo, until } from './pool.mjs';

const STOP_MS = 20_000;

/** Of each test; several times the longest one on a sanitizer's build and a busy machine. */
export const timeout = Number(process.env.QUIRE_TEST_MS ?? 120_000);

// ---- the pool's parts ----

const text = (file) => fs.readFileSync(file, 'utf8');

/** The broker's process, a child of quire up as the gateway is. */
export function brokerPid(pool) {
  const up = /^PPid:\s*(\d+)/m.exec(text(`/proc/${pool.gatewayPid()}/status`))[1];
  const children = text(`/proc/${up}/task/${up}/children`).trim().split(' ');
  return Number(children.find((pid) => text(`/proc/${pid}/cmdline`).split('\0')[0].endsWith('quire-broker')));
}

/** Where the broker answers clients. */
export function endpointOf(pool) {
  const args = text(`/proc/${pool.gatewayPid()}/cmdline`).split('\0');
  return args[args.indexOf('--endpoint') + 1];
}

/** The broker's counters, as they are now (the gateway asks for them once a second). */
export async function stats(pool) {
  const { stdout } = await promisify(execFile)(path.join(bin, 'quire'), ['stats', '--json', '--endpoint', endpointOf(pool)]);
  return JSON.parse(stdout);
}

/** Waits until nothing is under way, so that counters stand still. */
export const idle = (pool) => until(async () => {
  const s = await stats(pool);
  return s.in_flight === 0 && s.queued === 0;
}, 'the pool did not become idle');

export const allUp = (pool, n) => until(async () => {
  const up = (await pool.live()).workers.filter((w) => w.state === 'up');
  return up.length === n;
}, 'the workers did not come back');

/** Stops it; what a sanitizer said until then is an error. */
export async function close(pool) {
  if (!pool) return;
  const log = pool.log();
  await pool.stop();
  if (/Sanitizer|runtime error/.test(log)) throw new Error(log);
}

// ---- more gateways ----

/** A folder of the test's own. */
export function newFolder() {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'quire-web-'));
  return { dir, drop: () => fs.rmSync(dir, { recursive: true, force: true }) };
}

/**
 * Runs a program until stop(); `ready` reads its standard output so far and gives what the caller
 * waits for. {value, log(), stop()}.
 */
async function start(program, args, dir, ready) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('QUIRE_')));
  Object.assign(env, { QUIRE_RUNTIME_DIR: dir, QUIRE_CONFIG: '/dev/null' });
  const file = path.join(dir, `${path.basename(program)}.log`);
  const log = fs.openSync(file, 'a');
  const child = spawn(path.join(bin, program), args, { env, stdio: ['ignore', log, log] });
  fs.closeSync(log);
  const ended = once(child, 'exit');
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  const stop = async () => {
    child.kill('SIGTERM');
    const timer = setTimeout(kill, STOP_MS);
    const [code] = await ended;
    clearTimeout(timer);
    process.off('exit', kill);
    if (code !== 0) throw new Error(`${program} ended with ${code ?? 'a signal'}:\n${text(file)}`); // a sanitizer's word too
  };
  try {
    const value = await until(() => {
      if (child.exitCode !== null) throw new Error(`${program} ended:\n${text(file)}`);
      return ready(text(file));
    }, `${program} did not start`);
    return { value, log: () => text(file), stop };
  } catch (error) {
    await stop().catch(() => {}); // the first error is the reason
    throw error;
  }
}

/** A gateway before that broker. keys: sections of its key file; flags: more of them. {url, log(), stop()}. */
export async function startGateway(endpoint, { keys = [], flags = [] } = {}) {
  const { dir, drop } = newFolder();
  const args = ['--http', '127.0.0.1:0', '--endpoint', endpoint, ...flags];
  if (keys.length > 0) {
    const file = path.join(dir, 'keys.ini');
    fs.writeFileSync(file, keys.join('\n'), { mode: 0o600 });
    args.push('--keys', file);
  }
  try {
    const g = await start('quire-gateway', args, dir, (out) => /listens at (http:\S+)/.exec(out)?.[1]);
    return { url: g.value, log: g.log, stop: () => g.stop().finally(drop) };
  } catch (error) {
    drop();
    throw error;
  }
}

/** A broker without workers. {endpoint, stop()}. */
export async function startBroker(flags = []) {
  const { dir, drop } = newFolder();
  fs.chmodSync(dir, 0o700);
  const endpoint = `ipc://${dir}/clients.ipc`;
  try {
    const b = await start('quire-broker', flags, dir, () => fs.existsSync(`${dir}/clients.ipc`));
    return { endpoint, log: b.log, stop: () => b.stop().finally(drop) };
  } catch (error) {
    drop();
    throw error;
  }
}

/** An address where nobody listens. */
export async function deadUrl() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return `http://127.0.0.1:${port}`;
}

// ---- what is asked ----

export const picture = (name) => fs.readFileSync(path.join(demo, 'pictures', name));

/** A schema whose answers go on for many tokens: a list of `least` or more digits. */
export const longList = (least) => ({
  type: 'array', items: { type: 'integer', minimum: 0, maximum: 9 }, minItems: least, maxItems: least + 100,
});
