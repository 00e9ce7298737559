// schema.test.mjs - answers held to a JSON Schema, and tools, through the official packages; what
// comes is validated by a schema library, and it must always be whole.
import Anthropic from '@anthropic-ai/sdk';
import Ajv2020 from 'ajv/dist/2020.js';
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { close, picture, timeout } from './gateway.mjs';
import { startPool } from './pool.mjs';
import { generator, randomSchema } from './random_schema.mjs';

const model = 'quire-demo';
const ajv = new Ajv2020({ strict: false, allErrors: true });
let pool;
let openai;
let anthropic;

before(async () => {
  pool = await startPool({ workers: 2, keys: false });
  openai = new OpenAI({ baseURL: `${pool.url}v1`, apiKey: 'anything', maxRetries: 0 });
  anthropic = new Anthropic({ baseURL: pool.url, apiKey: 'anything', maxRetries: 0 });
}, { timeout: 3 * timeout });

after(() => close(pool), { timeout });

const messages = [{
  role: 'user', content: [
    { type: 'image_url', image_url: { url: `data:image/png;base64,${picture('shapes.png').toString('base64')}` } },
    { type: 'text', text: 'What is in the picture?' },
  ],
}];
const chat = (body) => openai.chat.completions.create({ model, messages, max_tokens: 200, ...body });
const format = (schema) => ({ type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } });

const text = { type: 'string', maxLength: 20 };
const shape = {
  type: 'object', additionalProperties: false, required: ['colour', 'form', 'place'],
  properties: {
    colour: { enum: ['red', 'blue', 'yellow', 'green'] }, form: { type: 'string', enum: ['circle', 'square', 'star'] },
    place: { type: 'array', prefixItems: [{ type: 'integer', minimum: 0, maximum: 95 }, { type: 'integer', minimum: 0, maximum: 95 }], items: false, minItems: 2 },
    note: text,
  },
};
const schemas = {
  'an object of everything': {
    type: 'object', additionalProperties: false, required: ['count', 'sure', 'share', 'nothing', 'name', 'list'],
    properties: {
      count: { type: 'integer', minimum: 1, maximum: 500 }, sure: { type: 'boolean' }, share: { type: 'number', minimum: 0, maximum: 1 },
      nothing: { type: 'null' }, name: { type: 'string', minLength: 2, maxLength: 12 }, list: { type: 'array', items: text, maxItems: 3 },
    },
  },
  'shapes in a list': { type: 'object', additionalProperties: false, required: ['shapes'], properties: { shapes: { type: 'array', items: shape, minItems: 1, maxItems: 3 } } },
  'one of several kinds': { anyOf: [{ type: 'object', properties: { error: text }, required: ['error'], additionalProperties: false }, { type: 'array', items: { type: 'integer' }, maxItems: 4 }, { const: 'none' }] },
  'a tree that refers to itself': {
    $ref: '#/$defs/node',
    $defs: { node: { type: 'object', required: ['value', 'children'], additionalProperties: false, properties: { value: { type: 'integer', minimum: 0, maximum: 9 }, children: { type: 'array', items: { $ref: '#/$defs/node' }, maxItems: 2 } } } },
  },
  'a nullable text': { type: 'object', properties: { title: { type: ['string', 'null'], maxLength: 8 } }, required: ['title'], additionalProperties: false },
  'any members': { type: 'object', additionalProperties: { type: 'integer' } },
  'an umlaut among the names': { type: 'object', properties: { 'größe "x"': { const: 'groß' } }, required: ['größe "x"'], additionalProperties: false },
};

function check(schema, content, what) {
  const validate = ajv.compile(schema);
  const value = JSON.parse(content);
  assert.ok(validate(value), `${what}: ${ajv.errorsText(validate.errors)} in ${content}`);
  return value;
}

for (const [name, schema] of Object.entries(schemas)) {
  test(`json_schema: ${name}`, { timeout }, async () => {
    for (const how of [{ temperature: 0 }, ...[1, 2, 3, 4].map((seed) => ({ temperature: 2, seed })), { max_tokens: 80 }]) {
      const answer = await chat({ response_format: format(schema), ...how });
      check(schema, answer.choices[0].message.content, `${name}, ${JSON.stringify(how)}`);
    }
  });
}

test('answers to random schemas always fit them', { timeout }, async () => {
  const below = generator(Number(process.env.QUIRE_SEED ?? 1));
  const count = Number(process.env.QUIRE_COUNT ?? 60);
  let answered = 0;
  for (let i = 0; i < count; i++) {
    const schema = randomSchema(below);
    const body = { response_format: format(schema), temperature: below(3), seed: below(1000), max_tokens: 100 + below(200) };
    const what = `schema ${i}, ${JSON.stringify(schema)}`;
    const answer = await chat(body).catch((e) => {
      assert.ok(e instanceof OpenAI.BadRequestError && /shortest answer|no answer of up to|leads back to itself/.test(e.message), `${what}: ${e.message}`);
    });
    if (!answer) continue; // no answer fits it, none so short, or it says nothing
    check(schema, answer.choices[0].message.content, what);
    answered++;
  }
  assert.ok(answered > count / 2, `${answered} of ${count}`);
});

test('a streamed answer is the same, and the parse helper reads it', { timeout }, async () => {
  const schema = schemas['shapes in a list'];
  const body = { model, messages, max_tokens: 200, temperature: 1, seed: 5, response_format: format(schema) };
  const whole = (await chat(body)).choices[0].message.content;
  const stream = openai.chat.completions.stream(body);
  assert.equal(await stream.finalContent(), whole);
  const parsed = (await openai.chat.completions.parse(body)).choices[0].message.parsed;
  assert.deepEqual(parsed ?? JSON.parse(whole), JSON.parse(whole));
  check(schema, whole, 'streamed');
});

test('json_object gives an object', { timeout }, async () => {
  for (const how of [{ temperature: 0 }, { temperature: 2, seed: 1 }, { temperature: 2, seed: 2, max_tokens: 20 }]) {
    const answer = await chat({ response_format: { type: 'json_object' }, ...how });
    check({ type: 'object' }, answer.choices[0].message.content, JSON.stringify(how));
  }
});

test('a schema beyond the subset is refused by name, and one that no answer of this length fits', { timeout }, async () => {
  for (const [word, schema] of Object.entries({
    patternProperties: { type: 'object', patternProperties: { '^x': { type: 'string' } } },
    not: { not: { type: 'string' } },
    pattern: { type: 'string', pattern: '^a*$' },
    if: { if: { type: 'string' }, then: { maxLength: 3 } },
  })) {
    await assert.rejects(chat({ response_format: format(schema) }), (e) => e instanceof OpenAI.BadRequestError && e.message.includes(word), word);
  }
  const tight = chat({ max_tokens: 3, response_format: format(schemas['an object of everything']) });
  await assert.rejects(tight, (e) => e instanceof OpenAI.BadRequestError && /shortest answer/.test(e.message));
  await assert.rejects(chat({ response_format: { type: 'json_schema', json_schema: { name: 'x' } } }), OpenAI.BadRequestError);
});

test('responses hold to a format too', { timeout }, async () => {
  const schema = schemas['an object of everything'];
  const answer = await openai.responses.create({
    model, input: 'Tell me.', temperature: 1, text: { format: { type: 'json_schema', name: 'answer', schema, strict: true } },
  });
  check(schema, answer.output_text, 'responses');
});

test('Anthropic messages hold to an output format too', { timeout }, async () => {
  const schema = schemas['a nullable text'];
  const message = await anthropic.messages.create({
    model, max_tokens: 100, messages: [{ role: 'user', content: 'Tell me.' }],
    output_config: { format: { type: 'json_schema', schema } },
  });
  check(schema, message.content[0].text, 'messages');
});

// ---- tools ----

const tools = [
  { type: 'function', function: { name: 'count_shapes', description: 'Counts shapes.', parameters: { type: 'object', properties: { form: { enum: ['circle', 'square'] }, most: { $ref: '#/$defs/n' }, name: { $ref: '#/properties/most' } }, required: ['form', 'most', 'name'], additionalProperties: false, $defs: { n: { type: 'integer', minimum: 1, maximum: 9 } } } } },
  { type: 'function', function: { name: 'say', parameters: { type: 'object', properties: { words: text }, required: ['words'], additionalProperties: false } } },
];
const parametersOf = (name) => tools.find((t) => t.function.name === name).function.parameters;

function checkCall(choice, names) {
  assert.equal(choice.finish_reason, 'tool_calls');
  assert.equal(choice.message.content, null);
  assert.equal(choice.message.tool_calls.length, 1);
  const [call] = choice.message.tool_calls;
  assert.match(call.id, /^call_/);
  assert.ok(names.includes(call.function.name), call.function.name);
  check(parametersOf(call.function.name), call.function.arguments, call.function.name);
  return call;
}

test('a tool that must be called is called, with arguments that fit', { timeout }, async () => {
  for (const seed of [1, 2, 3]) {
    const required = await chat({ tools, tool_choice: 'required', temperature: 1, seed });
    checkCall(required.choices[0], ['count_shapes', 'say']);
    const named = await chat({ tools, tool_choice: { type: 'function', function: { name: 'say' } }, temperature: 1, seed });
    checkCall(named.choices[0], ['say']);
  }
});

test('a streamed call is the same, and its result can be told', { timeout }, async () => {
  const body = { model, messages, tools, tool_choice: { type: 'function', function: { name: 'count_shapes' } }, temperature: 0, max_tokens: 100 };
  const whole = checkCall((await chat(body)).choices[0], ['count_shapes']);
  const final = await openai.chat.completions.stream(body).finalChatCompletion();
  const streamed = checkCall(final.choices[0], ['count_shapes']);
  assert.equal(streamed.function.arguments, whole.function.arguments);
  const next = await chat({
    messages: [...messages, { role: 'assistant', content: null, tool_calls: [whole] }, { role: 'tool', tool_call_id: whole.id, content: '2' }],
    tools, tool_choice: 'none',
  });
  assert.equal(next.choices[0].finish_reason, 'stop');
  assert.ok(!next.choices[0].message.tool_calls);
});

test('a model without a format for tools does not decide by itself', { timeout }, async () => {
  for (const tool_choice of ['auto', undefined])
    await assert.rejects(chat({ tools, tool_choice }), (e) => e instanceof OpenAI.BadRequestError && e.param === 'tool_choice' && /template/.test(e.message));
  await assert.rejects(anthropic.messages.create({
    model, max_tokens: 50, messages: [{ role: 'user', content: 'Hi' }], tools: [{ name: 'say', input_schema: parametersOf('say') }],
  }), (e) => e instanceof Anthropic.BadRequestError && /template/.test(e.message));
});

test('responses call tools', { timeout }, async () => {
  const body = { model, input: 'Tell me.', tools: tools.map((t) => ({ type: 'function', ...t.function })), tool_choice: { type: 'function', name: 'say' }, temperature: 0 };
  const whole = await openai.responses.create(body);
  const call = whole.output.find((o) => o.type === 'function_call');
  assert.equal(call.name, 'say');
  check(parametersOf('say'), call.arguments, 'say');
  const final = await openai.responses.stream(body).finalResponse();
  assert.equal(final.output.find((o) => o.type === 'function_call').arguments, call.arguments);
});

test('Anthropic messages call tools, streamed or not', { timeout }, async () => {
  const body = {
    model, max_tokens: 100, temperature: 0, messages: [{ role: 'user', content: 'How many circles?' }],
    tools: tools.map((t) => ({ name: t.function.name, description: t.function.description, input_schema: t.function.parameters })),
  };
  const any = await anthropic.messages.create({ ...body, tool_choice: { type: 'any' } });
  assert.equal(any.stop_reason, 'tool_use');
  const use = any.content.find((b) => b.type === 'tool_use');
  check(parametersOf(use.name), JSON.stringify(use.input), use.name);
  const named = { ...body, tool_choice: { type: 'tool', name: 'count_shapes' } };
  const whole = (await anthropic.messages.create(named)).content.find((b) => b.type === 'tool_use');
  const final = await anthropic.messages.stream(named).finalMessage();
  assert.equal(final.stop_reason, 'tool_use');
  assert.deepEqual(final.content.find((b) => b.type === 'tool_use').input, whole.input);
  const next = await anthropic.messages.create({
    ...body, tool_choice: { type: 'none' },
    messages: [...body.messages, { role: 'assistant', content: [whole] }, { role: 'user', content: [{ type: 'tool_result', tool_use_id: whole.id, content: '2' }] }],
  });
  assert.equal(next.stop_reason, 'end_turn');
});
