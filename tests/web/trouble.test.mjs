// trouble.test.mjs - what goes wrong, as the official packages see it: their own error classes, retries,
// aborts, repeated keys, and a broker that dies in the middle of a stream.
import Anthropic from '@anthropic-ai/sdk';
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { allUp, brokerPid, close, deadUrl, endpointOf, idle, longList, picture, startBroker, startGateway, stats, timeout } from './gateway.mjs';
import { newKey, startPool, until } from './pool.mjs';

const model = 'quire-demo';
let pool;
let openai;
let anthropic;

before(async () => {
  pool = await startPool({ workers: 2, keys: false });
  openai = openaiAt(pool.url);
  anthropic = anthropicAt(pool.url);
}, { timeout: 3 * timeout });

after(() => close(pool), { timeout });

const withSlash = (url) => (url.endsWith('/') ? url : `${url}/`);
function openaiAt(url, options) {
  return new OpenAI({ baseURL: `${withSlash(url)}v1`, apiKey: 'anything', maxRetries: 0, ...options });
}
function anthropicAt(url, options) {
  return new Anthropic({ baseURL: withSlash(url), apiKey: 'anything', maxRetries: 0, ...options });
}

/** Options of a client that notes with which statuses it was answered. */
function noting(options) {
  const noted = { statuses: [], ...options };
  noted.fetch = async (...args) => {
    const response = await fetch(...args);
    noted.statuses.push(response.status);
    return response;
  };
  return noted;
}

const short = { model, max_tokens: 5, messages: [{ role: 'user', content: 'Hi' }] };
const long = (seed) => ({
  model, max_tokens: 1900, temperature: 2, seed, messages: [{ role: 'user', content: 'Numbers!' }],
  response_format: { type: 'json_schema', json_schema: { name: 'list', schema: longList(800) } },
});
const askOpenai = (body, at = openai) => at.chat.completions.create({ ...short, ...body });
const askAnthropic = (body, at = anthropic) => at.messages.create({ ...short, ...body });

/** The error is of that class of either package, and of that status. */
async function fails(promise, Class, status) {
  let error = null;
  await promise.catch((e) => { error = e; });
  assert.ok(error instanceof Class, `${error?.constructor.name}: ${error?.message}`);
  assert.equal(error.status, status);
  return error;
}

// ---- classes of errors ----

test('an unknown model is NotFoundError', { timeout }, async () => {
  const e = await fails(askOpenai({ model: 'gpt-4o' }), OpenAI.NotFoundError, 404);
  assert.equal(e.code, 'model_not_found');
  const a = await fails(askAnthropic({ model: 'claude-sonnet-4-5' }), Anthropic.NotFoundError, 404);
  assert.equal(a.error.error.type, 'not_found_error');
});

test('a streamed request is refused before its stream begins', { timeout }, async () => {
  await fails(askOpenai({ model: 'gpt-4o', stream: true }), OpenAI.NotFoundError, 404);
  await fails(anthropic.messages.stream({ ...short, model: 'claude' }).finalMessage(), Anthropic.NotFoundError, 404);
});

test('a bad request is BadRequestError and names its field', { timeout }, async () => {
  const e = await fails(askOpenai({ temperature: 3 }), OpenAI.BadRequestError, 400);
  assert.equal(e.param, 'temperature');
  assert.equal(e.type, 'invalid_request_error');
  await fails(askAnthropic({ max_tokens: -1 }), Anthropic.BadRequestError, 400);
});

test('what is longer than the context is BadRequestError with its own code', { timeout }, async () => {
  const content = 'All work and no play. '.repeat(2000);
  const e = await fails(askOpenai({ messages: [{ role: 'user', content }] }), OpenAI.BadRequestError, 400);
  assert.equal(e.code, 'context_length_exceeded');
  await fails(askAnthropic({ messages: [{ role: 'user', content }] }), Anthropic.BadRequestError, 400);
});

test('a damaged picture is UnprocessableEntityError', { timeout }, async () => {
  const data = picture('shapes.png').subarray(0, 300).toString('base64');
  await fails(askOpenai({ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: `data:image/png;base64,${data}` } }] }] }), OpenAI.UnprocessableEntityError, 422);
  await fails(askAnthropic({ messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data } }] }] }), Anthropic.UnprocessableEntityError, 422);
});

test('a body that is too large is refused with 413', { timeout }, async () => {
  const g = await startGateway(endpointOf(pool), { flags: ['--body-bytes', '4096'] });
  try {
    const content = 'x'.repeat(100_000);
    await fails(askOpenai({ messages: [{ role: 'user', content }] }, openaiAt(g.url)), OpenAI.APIError, 413);
    const a = await fails(askAnthropic({ messages: [{ role: 'user', content }] }, anthropicAt(g.url)), Anthropic.APIError, 413);
    assert.equal(a.error.error.type, 'request_too_large');
  } finally {
    await g.stop();
  }
});

test('keys: a wrong one is AuthenticationError, used up limits are RateLimitError with Retry-After', { timeout }, async () => {
  const [one, few] = [newKey('one', 'in-flight = 1'), newKey('few', 'tokens-per-minute = 1')];
  const g = await startGateway(endpointOf(pool), { keys: [one.section, few.section] });
  try {
    await fails(askOpenai({}, openaiAt(g.url)), OpenAI.AuthenticationError, 401);
    const wrong = await fails(askAnthropic({}, anthropicAt(g.url, { apiKey: 'quire-wrong' })), Anthropic.AuthenticationError, 401);
    assert.equal(wrong.error.error.type, 'authentication_error');

    const a = anthropicAt(g.url, { apiKey: few.key });
    await askAnthropic({}, a);
    const used = await fails(askAnthropic({}, a), Anthropic.RateLimitError, 429);
    assert.equal(used.error.error.type, 'rate_limit_error');
    assert.ok(Number(used.headers.get('retry-after')) > 1, 'it takes a while to fill again');

    const o = openaiAt(g.url, { apiKey: one.key });
    const held = await askOpenai({ ...long(1), stream: true }, o);
    const busy = await fails(askOpenai({}, o), OpenAI.RateLimitError, 429);
    assert.equal(busy.code, 'rate_limit_exceeded');
    assert.ok(Number(busy.headers.get('retry-after')) >= 1);
    const tries = noting({ apiKey: one.key, maxRetries: 5 });
    const retried = askOpenai({}, openaiAt(g.url, tries));
    await until(() => tries.statuses.includes(429), 'it was not refused');
    held.controller.abort();
    assert.equal((await retried).object, 'chat.completion');
    assert.equal(tries.statuses.at(-1), 200, 'the package came back by itself');
    assert.ok(!g.log().includes(one.key), 'no key is logged');
  } finally {
    await g.stop();
  }
});

test('a pool without workers is InternalServerError 503, and asked again', { timeout }, async () => {
  const broker = await startBroker(['--worker-wait-ms', '100']);
  const g = await startGateway(broker.endpoint);
  try {
    const tries = noting({ maxRetries: 1 });
    const e = await fails(askOpenai({}, openaiAt(g.url, tries)), OpenAI.InternalServerError, 503);
    assert.deepEqual(tries.statuses, [503, 503]);
    assert.equal(e.code, 'no-workers');
    const a = await fails(askAnthropic({}, anthropicAt(g.url)), Anthropic.InternalServerError, 503);
    assert.equal(a.error.error.type, 'overloaded_error');
    assert.equal((await fetch(`${g.url}/readyz`)).status, 503);
    assert.equal((await fetch(`${g.url}/healthz`)).status, 200);
  } finally {
    await g.stop();
    await broker.stop();
  }
});

test('without a gateway there are connection errors, and time limits of the package hold', { timeout }, async () => {
  const url = await deadUrl();
  await assert.rejects(askOpenai({}, openaiAt(url)), OpenAI.APIConnectionError);
  await assert.rejects(askAnthropic({}, anthropicAt(url)), Anthropic.APIConnectionError);
  const before_ = (await stats(pool)).cancelled;
  await assert.rejects(askOpenai(long(2), openaiAt(pool.url, { timeout: 50 })), OpenAI.APIConnectionTimeoutError);
  await until(async () => (await stats(pool)).cancelled > before_, 'the request went on');
});

// ---- aborts ----

test('an aborted stream ends its request in the pool', { timeout }, async () => {
  const { cancelled } = await stats(pool);
  const stream = await askOpenai({ ...long(3), stream: true });
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break; // leaving aborts
  await until(async () => (await stats(pool)).cancelled === cancelled + 1, 'the request went on');

  const controller = new AbortController();
  const whole = openai.chat.completions.create(long(4), { signal: controller.signal });
  await until(async () => (await stats(pool)).in_flight > 0, 'nothing was under way');
  controller.abort();
  await assert.rejects(whole, OpenAI.APIUserAbortError);
  await until(async () => (await stats(pool)).cancelled === cancelled + 2, 'the request went on');

  const { response_format: { json_schema: { schema } }, seed: _, ...rest } = long(5);
  const messages = anthropic.messages.stream({ ...rest, temperature: 1, output_config: { format: { type: 'json_schema', schema } } });
  messages.once('text', () => messages.abort());
  await assert.rejects(messages.finalMessage(), Anthropic.APIUserAbortError);
  await until(async () => (await stats(pool)).cancelled === cancelled + 3, 'the request went on');
  await idle(pool);
});

// ---- repeated keys ----

test('a repeated idempotency key gets the same answer, another body under it is refused', { timeout }, async () => {
  const client = openaiAt(pool.url);
  client.idempotencyHeader = 'Idempotency-Key'; // then the package sends one with every request
  const { requests } = await stats(pool);
  const ask = (body, key) => client.chat.completions.create({ ...long(6), ...body }, { idempotencyKey: key });
  const [one, two] = await Promise.all([ask({}, 'a'), ask({}, 'a')]); // the second joins the first
  const three = await ask({}, 'a'); // and this one is told what came
  assert.equal(one.id, two.id);
  assert.deepEqual(three, one);
  assert.equal((await stats(pool)).requests, requests + 1);
  await fails(ask({ seed: 7 }, 'a'), OpenAI.UnprocessableEntityError, 422);
  assert.notEqual((await ask({}, 'b')).id, one.id);

  const text = async () => {
    let out = '';
    for await (const chunk of await ask({ stream: true }, 'c')) out += chunk.choices[0]?.delta.content ?? '';
    return out;
  };
  const streams = await Promise.all([text(), text()]);
  assert.deepEqual(streams, [one.choices[0].message.content, one.choices[0].message.content]);
});

// ---- failures after the first token ----

test('a stream that fails ends with an error and never as if it were whole', { timeout }, async () => {
  const g = await startGateway(endpointOf(pool), { flags: ['--deadline-seconds', '10'] });
  const pids = (await pool.live()).workers.map((w) => w.pid);
  try {
    const chunks = [];
    const read = async () => {
      for await (const chunk of await askOpenai({ ...long(8), stream: true }, openaiAt(g.url))) {
        if (chunks.push(chunk) === 3) pids.forEach((pid) => process.kill(pid, 'SIGSTOP'));
      }
    };
    await assert.rejects(read(), (e) => e instanceof OpenAI.APIError && e.type === 'server_error');
    assert.ok(chunks.length >= 3);
    assert.ok(chunks.every((c) => c.choices.every((x) => x.finish_reason === null)));
  } finally {
    pids.forEach((pid) => process.kill(pid, 'SIGCONT'));
    await g.stop();
  }
  await allUp(pool, 2);
  await idle(pool);
});

test('a broker that dies in the middle of a stream does not end it', { timeout }, async () => {
  const undisturbed = (await askOpenai(long(9))).choices[0].message.content;
  const pid = brokerPid(pool);
  const { sent_again: again } = (await pool.live()).gateway;
  let text = '';
  let killed = false;
  let finish = null;
  for await (const chunk of await askOpenai({ ...long(9), stream: true })) {
    text += chunk.choices[0]?.delta.content ?? '';
    finish = chunk.choices[0]?.finish_reason ?? finish;
    if (!killed && text.length > 20) {
      killed = true;
      process.kill(pid, 'SIGKILL');
    }
  }
  assert.ok(killed);
  assert.equal(finish, 'stop');
  assert.equal(text, undisturbed);
  await until(() => brokerPid(pool) !== pid, 'quire up did not start a new broker');
  await until(async () => (await pool.live()).gateway.sent_again > again, 'the gateway did not ask again');
  await allUp(pool, 2);
});

test('a broker that dies does not end a message of Anthropic either', { timeout }, async () => {
  const { response_format: { json_schema: { schema } }, seed: _, ...rest } = long(0);
  const body = { ...rest, temperature: 0, output_config: { format: { type: 'json_schema', schema } } };
  const undisturbed = (await anthropic.messages.create(body)).content[0].text;
  const stream = anthropic.messages.stream(body);
  stream.once('text', () => process.kill(brokerPid(pool), 'SIGKILL'));
  const final = await stream.finalMessage();
  assert.equal(final.content[0].text, undisturbed);
  assert.equal(final.stop_reason, 'end_turn');
  await allUp(pool, 2);
});
