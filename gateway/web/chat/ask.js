// ask.js - one question to the pool: the messages out, the streamed answer back.
import * as api from '../api.js';
import { events } from '../sse.js';
import { dataUrl } from './pictures.js';

/** Messages of the tree in the shape of the chat API. A picture that is lost is a Failure. */
async function messages(conversation, nodes, store) {
  const out = conversation.system.trim() ? [{ role: 'system', content: conversation.system }] : [];
  for (const node of nodes) {
    // An answer that never began is no part of what was said.
    if (node.role === 'assistant' && !node.text) continue;
    if (!node.pictures.length) {
      out.push({ role: node.role, content: node.text });
      continue;
    }
    const content = [];
    for (const picture of node.pictures) {
      const blob = await store.picture(picture.id);
      if (!blob) throw new api.Failure(`The picture “${picture.name}” is no longer in this browser.`);
      content.push({ type: 'image_url', image_url: { url: await dataUrl(blob) } });
    }
    if (node.text) content.push({ type: 'text', text: node.text });
    out.push({ role: node.role, content });
  }
  return out;
}

const numeric = (text, name) => {
  const value = Number(text);
  return String(text).trim() === '' || Number.isNaN(value) ? {} : { [name]: value };
};

async function bodyOf(conversation, nodes, store) {
  const { model, temperature, max_tokens, seed } = conversation.options;
  return {
    ...(model ? { model } : {}),
    ...numeric(temperature, 'temperature'),
    ...numeric(max_tokens, 'max_tokens'),
    ...numeric(seed, 'seed'),
    messages: await messages(conversation, nodes, store),
    stream: true,
    stream_options: { include_usage: true },
  };
}

/**
 * Asks. on: {begun(requestId), model(name), text(piece)}. Gives {details, model, finish} at the end mark; a stream
 * that breaks off before it is a Failure, and so is an error event in it.
 */
export async function ask(conversation, nodes, store, signal, on) {
  const response = await api.ask('v1/chat/completions', {
    method: 'POST', signal, headers: { 'Quire-Details': '1' },
    body: await bodyOf(conversation, nodes, store),
  });
  on.begun(response.headers.get('X-Request-Id') ?? '');
  const result = { details: null, model: '', finish: '' };
  for await (const { data } of events(response)) {
    if (data === '[DONE]') return result;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new api.Failure(api.sentence(chunk.error.message ?? 'The answer broke off'), 0, chunk.error.code ?? '');
    if (chunk.model && chunk.model !== result.model) on.model((result.model = chunk.model));
    const choice = chunk.choices?.[0];
    if (choice?.delta?.content) on.text(choice.delta.content);
    result.finish = choice?.finish_reason ?? result.finish;
    if (chunk.quire) result.details = chunk.quire;
  }
  throw new api.Failure('The connection broke before the answer was complete.');
}

/** The figures of a request that was stopped: the gateway keeps a record of it. */
export async function detailsOf(requestId) {
  const { requests } = await api.recent(50);
  return requests.find((record) => record.request_id === requestId) ?? null;
}
