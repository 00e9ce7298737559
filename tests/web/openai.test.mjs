// openai.test.mjs - the official openai package against a real pool with the demo model.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { close, longList, picture, timeout } from './gateway.mjs';
import { startPool } from './pool.mjs';

const model = 'quire-demo';
let pool;
let openai;

before(async () => {
  pool = await startPool({ workers: 1, keys: false });
  openai = new OpenAI({ baseURL: `${pool.url}v1`, apiKey: 'anything', maxRetries: 0 });
}, { timeout: 3 * timeout });

after(() => close(pool), { timeout });

const dataUrl = (name, type) => `data:${type};base64,${picture(name).toString('base64')}`;
const user = (text, ...urls) => ({
  role: 'user', content: [...urls.map((url) => ({ type: 'image_url', image_url: { url } })), { type: 'text', text }],
});
const circles = () => user('How many circles are there?', dataUrl('shapes.png', 'image/png'));
const chat = (body, options) => openai.chat.completions.create({ model, max_tokens: 40, ...body }, options);

async function all(stream) {
  const list = [];
  for await (const one of await stream) list.push(one);
  return list;
}

test('models are listed, and one is found by its name', { timeout }, async () => {
  const models = await all(openai.models.list());
  assert.deepEqual(models.map((m) => [m.id, m.object, m.owned_by]), [[model, 'model', 'quire']]);
  assert.equal((await openai.models.retrieve(model)).id, model);
  await assert.rejects(openai.models.retrieve('gpt-4o'), (e) => e instanceof OpenAI.NotFoundError && e.code === 'model_not_found');
});

test('an answer comes whole, with its usage', { timeout }, async () => {
  const answer = await chat({ messages: [{ role: 'system', content: 'Be short.' }, user('Tell me a story.')] });
  assert.match(answer.id, /^chatcmpl-[0-9a-f]{32}$/);
  assert.equal(answer.object, 'chat.completion');
  assert.equal(answer.model, model);
  assert.equal(answer.choices.length, 1);
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.equal(answer.choices[0].message.role, 'assistant');
  assert.match(answer.choices[0].message.content, /I only know pictures/);
  const { prompt_tokens: prompt, completion_tokens: made, total_tokens: total } = answer.usage;
  assert.ok(prompt > 0 && made > 0 && total === prompt + made);
  assert.match(answer._request_id, /^[0-9a-f]{32}$/);
});

test('a question about a picture is streamed, and the stream says what the whole answer says', { timeout }, async () => {
  const body = { messages: [circles()], temperature: 0 };
  const whole = await chat(body);
  const chunks = await all(chat({ ...body, stream: true, stream_options: { include_usage: true } }));
  assert.match(whole.choices[0].message.content, /two circles/i);
  const text = chunks.map((c) => c.choices[0]?.delta.content ?? '').join('');
  assert.equal(text, whole.choices[0].message.content);
  assert.ok(chunks.filter((c) => c.choices[0]?.delta.content).length > 2, 'in several pieces');
  assert.equal(chunks[0].choices[0].delta.role, 'assistant');
  assert.equal(new Set(chunks.map((c) => c.id)).size, 1);
  assert.ok(chunks.every((c) => c.object === 'chat.completion.chunk' && c.model === model));
  assert.deepEqual(chunks.flatMap((c) => c.choices.map((x) => x.finish_reason)).filter(Boolean), ['stop']);
  const usage = chunks.at(-1);
  assert.deepEqual(usage.choices, []);
  assert.equal(usage.usage.prompt_tokens, whole.usage.prompt_tokens);
  assert.ok(chunks.slice(0, -1).every((c) => c.usage === null));
});

test('without include_usage no chunk has usage', { timeout }, async () => {
  const chunks = await all(chat({ messages: [user('Hello')], stream: true }));
  assert.ok(chunks.every((c) => c.usage === undefined && c.choices.length === 1));
});

test('JPEG works too, and the stream helper gathers the answer', { timeout }, async () => {
  const stream = openai.chat.completions.stream({
    model, temperature: 0, messages: [user('What does it say?', dataUrl('word.jpg', 'image/jpeg'))],
  });
  const seen = [];
  stream.on('content', (delta) => seen.push(delta));
  const final = await stream.finalChatCompletion();
  assert.equal(seen.join(''), final.choices[0].message.content);
  const plain = await chat({ temperature: 0, messages: [user('What does it say?', dataUrl('word.jpg', 'image/jpeg'))] });
  assert.equal(final.choices[0].message.content, plain.choices[0].message.content);
});

test('the second turn of a conversation finds the first one computed', { timeout }, async () => {
  const messages = [user('What number is shown?', dataUrl('number.png', 'image/png'))];
  const first = await chat({ messages, temperature: 0 });
  messages.push(first.choices[0].message, user('Is it an even number?'));
  const second = await chat({ messages, temperature: 0 });
  const cached = second.usage.prompt_tokens_details.cached_tokens;
  assert.ok(first.usage.prompt_tokens_details.cached_tokens < first.usage.prompt_tokens / 2, 'the picture is new');
  assert.ok(cached >= first.usage.prompt_tokens, `${cached} of ${second.usage.prompt_tokens}, first turn ${first.usage.prompt_tokens}`);
  assert.ok(cached < second.usage.prompt_tokens);
});

test('a seed repeats a sampled answer, another one does not', { timeout }, async () => {
  const ask = async (seed) => (await chat({
    messages: [user('Numbers!')], temperature: 2, seed, max_tokens: 300,
    response_format: { type: 'json_schema', json_schema: { name: 'list', schema: longList(60) } },
  })).choices[0].message.content;
  const [one, again, other] = [await ask(7), await ask(7), await ask(8)];
  assert.equal(one, again);
  assert.notEqual(one, other);
});

test('stop strings end the answer before themselves', { timeout }, async () => {
  const body = { messages: [circles()], temperature: 0 };
  const whole = (await chat(body)).choices[0].message.content;
  const word = whole.split(' ')[2];
  for (const stop of [` ${word}`, ['zebra', ` ${word}`]]) {
    const cut = await chat({ ...body, stop });
    assert.equal(cut.choices[0].message.content, whole.slice(0, whole.indexOf(` ${word}`)));
    assert.equal(cut.choices[0].finish_reason, 'stop');
  }
});

test('log-probabilities belong to the tokens of the answer, streamed or not', { timeout }, async () => {
  const body = { messages: [circles()], temperature: 0, logprobs: true, top_logprobs: 3 };
  const whole = (await chat(body)).choices[0];
  const list = whole.logprobs.content;
  // an answer leaves out the space that its first token begins with
  assert.equal(Buffer.from(list.flatMap((t) => t.bytes)).toString('utf8').trimStart(), whole.message.content);
  for (const t of list) {
    assert.ok(t.logprob <= 0);
    assert.equal(t.top_logprobs.length, 3);
    assert.equal(t.top_logprobs[0].token, t.token, 'the likeliest one was taken');
    assert.ok(t.top_logprobs[0].logprob >= t.top_logprobs[1].logprob);
  }
  const chunks = await all(chat({ ...body, stream: true }));
  assert.deepEqual(chunks.flatMap((c) => c.choices[0]?.logprobs?.content ?? []), list);
  const without = await chat({ messages: [circles()] });
  assert.equal(without.choices[0].logprobs, null);
});

test('max_tokens and max_completion_tokens cut, and n can only be 1', { timeout }, async () => {
  for (const limit of [{ max_tokens: 3 }, { max_tokens: undefined, max_completion_tokens: 3 }]) {
    const answer = await chat({ messages: [circles()], n: 1, ...limit });
    assert.equal(answer.usage.completion_tokens, 3);
    assert.equal(answer.choices[0].finish_reason, 'length');
  }
  await assert.rejects(chat({ messages: [circles()], n: 2 }), (e) => e instanceof OpenAI.BadRequestError && e.param === 'n');
});

test('remote pictures are refused, with the advice to send them', { timeout }, async () => {
  await assert.rejects(chat({ messages: [user('What is it?', 'https://example.com/cat.png')] }),
    (e) => e instanceof OpenAI.BadRequestError && /data: URL/.test(e.message) && /image_url/.test(e.param));
});

// ---- completions ----

test('completions go on with a raw prompt', { timeout }, async () => {
  const body = { model, prompt: 'There are two red', temperature: 0, max_tokens: 12 };
  const whole = await openai.completions.create(body);
  assert.match(whole.id, /^cmpl-/);
  assert.equal(whole.object, 'text_completion');
  assert.ok(whole.choices[0].text.length > 0);
  assert.ok(whole.usage.prompt_tokens > 0);
  const chunks = await all(openai.completions.create({ ...body, stream: true, stream_options: { include_usage: true } }));
  assert.equal(chunks.map((c) => c.choices[0]?.text ?? '').join(''), whole.choices[0].text);
  assert.equal(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
  const echo = await openai.completions.create({ ...body, echo: true });
  assert.equal(echo.choices[0].text, body.prompt + whole.choices[0].text);
  const logprobs = (await openai.completions.create({ ...body, logprobs: 2 })).choices[0].logprobs;
  assert.equal(logprobs.tokens.join(''), whole.choices[0].text);
  assert.equal(logprobs.tokens.length, logprobs.token_logprobs.length);
  assert.deepEqual(logprobs.text_offset.slice(0, 2), [0, Buffer.byteLength(logprobs.tokens[0])]);
});

// ---- responses ----

test('a response answers a picture and says how its prompt was found', { timeout }, async () => {
  const input = [{
    role: 'user', content: [
      { type: 'input_image', image_url: dataUrl('shapes.png', 'image/png'), detail: 'auto' },
      { type: 'input_text', text: 'How many circles are there?' },
    ],
  }];
  const first = await openai.responses.create({ model, input, temperature: 0 });
  assert.match(first.id, /^resp_/);
  assert.equal(first.status, 'completed');
  assert.match(first.output_text, /two circles/i);
  assert.equal(first.output[0].content[0].type, 'output_text');
  assert.equal(first.usage.total_tokens, first.usage.input_tokens + first.usage.output_tokens);
  input.push(...first.output, { role: 'user', content: 'What colour are they?' });
  const second = await openai.responses.create({ model, input, temperature: 0 });
  assert.ok(second.usage.input_tokens_details.cached_tokens >= first.usage.input_tokens);
});

test('a response is streamed by events in their order', { timeout }, async () => {
  const body = { model, instructions: 'Be short.', input: 'Tell me a story.', temperature: 0 };
  const whole = await openai.responses.create(body);
  const events = await all(openai.responses.create({ ...body, stream: true }));
  const types = events.map((e) => e.type);
  assert.deepEqual(types.filter((t) => t !== 'response.output_text.delta'), [
    'response.created', 'response.in_progress', 'response.output_item.added', 'response.content_part.added',
    'response.output_text.done', 'response.content_part.done', 'response.output_item.done', 'response.completed',
  ]);
  assert.deepEqual(events.map((e) => e.sequence_number), events.map((_, i) => i));
  const text = events.filter((e) => e.type === 'response.output_text.delta').map((e) => e.delta).join('');
  assert.equal(text, whole.output_text);
  assert.equal(events.at(-1).response.output[0].content[0].text, text);
  const final = await openai.responses.stream(body).finalResponse();
  assert.equal(final.output_text, whole.output_text);
});

test('a response that is cut says so, and nothing stored is referred to', { timeout }, async () => {
  const cut = await openai.responses.create({ model, input: 'Tell me a story.', max_output_tokens: 2 });
  assert.equal(cut.status, 'incomplete');
  assert.equal(cut.incomplete_details.reason, 'max_output_tokens');
  await assert.rejects(openai.responses.create({ model, input: 'And then?', previous_response_id: cut.id }),
    (e) => e instanceof OpenAI.BadRequestError && e.param === 'previous_response_id');
});
