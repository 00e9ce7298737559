// anthropic.test.mjs - the official @anthropic-ai/sdk package against a real pool with the demo model.
import Anthropic from '@anthropic-ai/sdk';
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { close, picture, timeout } from './gateway.mjs';
import { startPool } from './pool.mjs';

const model = 'quire-demo';
let pool;
let anthropic;

before(async () => {
  pool = await startPool({ workers: 1, keys: false });
  anthropic = new Anthropic({ baseURL: pool.url, apiKey: 'anything', maxRetries: 0 });
}, { timeout: 3 * timeout });

after(() => close(pool), { timeout });

const image = (name, type, more) => ({ type: 'image', source: { type: 'base64', media_type: type, data: picture(name).toString('base64') }, ...more });
const user = (text, ...blocks) => ({ role: 'user', content: [...blocks, { type: 'text', text }] });
const circles = () => user('How many circles are there?', image('shapes.png', 'image/png'));
const ask = (body) => anthropic.messages.create({ model, max_tokens: 40, temperature: 0, ...body });
const positions = (u) => u.input_tokens + u.cache_read_input_tokens + u.cache_creation_input_tokens;

test('a message about a picture is answered', { timeout }, async () => {
  const message = await ask({ system: 'Be short.', messages: [circles()] });
  assert.match(message.id, /^msg_[0-9a-f]{32}$/);
  assert.equal(message.type, 'message');
  assert.equal(message.role, 'assistant');
  assert.equal(message.model, model);
  assert.equal(message.content.length, 1);
  assert.equal(message.content[0].type, 'text');
  assert.match(message.content[0].text, /two circles/i);
  assert.equal(message.stop_reason, 'end_turn');
  assert.equal(message.stop_sequence, null);
  assert.ok(message.usage.output_tokens > 0);
  assert.match(message._request_id, /^[0-9a-f]{32}$/);
});

test('a stream has the events of the API in their order', { timeout }, async () => {
  const whole = await ask({ messages: [circles()] });
  const events = [];
  for await (const event of await ask({ messages: [circles()], stream: true })) events.push(event);
  const types = events.map((e) => e.type).filter((t) => t !== 'content_block_delta');
  assert.deepEqual(types, ['message_start', 'content_block_start', 'content_block_stop', 'message_delta', 'message_stop']);
  const deltas = events.filter((e) => e.type === 'content_block_delta');
  assert.ok(deltas.length > 2 && deltas.every((e) => e.index === 0 && e.delta.type === 'text_delta'));
  assert.equal(deltas.map((e) => e.delta.text).join(''), whole.content[0].text);
  assert.equal(events.at(-2).delta.stop_reason, 'end_turn');
  assert.equal(events.at(-2).usage.output_tokens, whole.usage.output_tokens);
});

test('the stream helper gathers text and the final message', { timeout }, async () => {
  const stream = anthropic.messages.stream({ model, max_tokens: 40, temperature: 0, messages: [user('What does it say?', image('word.jpg', 'image/jpeg'))] });
  const seen = [];
  stream.on('text', (delta) => seen.push(delta));
  const final = await stream.finalMessage();
  assert.equal(seen.join(''), final.content[0].text);
  assert.equal(await stream.finalText(), final.content[0].text);
  assert.equal(final.stop_reason, 'end_turn');
  const whole = await ask({ messages: [user('What does it say?', image('word.jpg', 'image/jpeg'))] });
  assert.equal(whole.content[0].text, final.content[0].text);
  assert.equal(positions(whole.usage), positions(final.usage));
  assert.equal(whole.usage.output_tokens, final.usage.output_tokens);
});

test('the second turn reads the first one from the cache', { timeout }, async () => {
  const messages = [user('What number is shown?', image('number.png', 'image/png'))];
  const first = await ask({ messages });
  messages.push({ role: 'assistant', content: first.content }, user('Is it an even number?'));
  const second = await ask({ messages });
  assert.ok(first.usage.cache_read_input_tokens < positions(first.usage) / 2, 'the picture is new');
  assert.ok(second.usage.cache_read_input_tokens >= positions(first.usage));
  assert.equal(second.usage.cache_creation_input_tokens, 0);
  messages[0].content[0].cache_control = { type: 'ephemeral' };
  messages.push({ role: 'assistant', content: second.content }, user('And an odd one?'));
  const third = await ask({ messages });
  assert.ok(third.usage.cache_read_input_tokens >= positions(second.usage));
  assert.ok(third.usage.cache_creation_input_tokens > 0);
});

test('count_tokens tells what the message will use', { timeout }, async () => {
  for (const body of [{ messages: [circles()] }, { system: [{ type: 'text', text: 'Be short, please.' }], messages: [user('Count to three.'), { role: 'assistant', content: 'One, two, three.' }, user('And on?')] }]) {
    const { input_tokens: counted } = await anthropic.messages.countTokens({ model, ...body });
    const message = await ask(body);
    assert.equal(counted, positions(message.usage));
  }
});

test('stop sequences and max_tokens end an answer and are told', { timeout }, async () => {
  const whole = (await ask({ messages: [circles()] })).content[0].text;
  const word = ` ${whole.split(' ')[2]}`;
  const stopped = await ask({ messages: [circles()], stop_sequences: ['zebra', word] });
  assert.equal(stopped.content[0].text, whole.slice(0, whole.indexOf(word)));
  assert.equal(stopped.stop_reason, 'stop_sequence');
  assert.equal(stopped.stop_sequence, word);
  const cut = await ask({ messages: [circles()], max_tokens: 2 });
  assert.equal(cut.stop_reason, 'max_tokens');
  assert.equal(cut.usage.output_tokens, 2);
});

test('what is not done is refused, by name', { timeout }, async () => {
  const bad = async (body, pattern) => assert.rejects(ask({ messages: [user('Hi')], ...body }), (e) => {
    assert.ok(e instanceof Anthropic.BadRequestError, e);
    assert.equal(e.error.type, 'error');
    assert.equal(e.error.error.type, 'invalid_request_error');
    assert.match(e.message, pattern);
    return true;
  });
  await bad({ messages: [user('What?', { type: 'image', source: { type: 'url', url: 'https://example.com/cat.png' } })] }, /send/);
  await bad({ temperature: 1.5 }, /temperature/);
  await bad({ thinking: { type: 'enabled', budget_tokens: 1024 } }, /think/);
  await bad({ messages: [user('Hi'), { role: 'assistant', content: 'Hel' }] }, /assistant/);
  await bad({ betas_of_mine: true }, /betas_of_mine/);
});
