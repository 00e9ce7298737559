// api.js - asking the gateway. Addresses are relative, so the page also works under a proxy's path.
import * as keys from './keys.js';

/** What went wrong, as a sentence for people; status 0: the gateway was not reached. */
export class Failure extends Error {
  constructor(message, status = 0, code = '', retrySeconds = 0) {
    super(message);
    this.status = status;
    this.code = code;
    this.retrySeconds = retrySeconds;
  }
}

async function failureOf(response) {
  let message = '';
  let code = '';
  try {
    const { error } = await response.json();
    message = error?.message ?? '';
    code = error?.code ?? '';
  } catch {
    // a proxy's page, perhaps; the status has to do
  }
  const retry = Number(response.headers.get('Retry-After')) || 0;
  if (!message) message = `The gateway answered with status ${response.status}.`;
  return new Failure(sentence(message), response.status, code, retry);
}

/** The program's messages begin small and have no full stop; on a page they are sentences. */
export function sentence(text) {
  const t = text.trim();
  return t && t[0].toUpperCase() + t.slice(1) + (/[.!?…]$/.test(t) ? '' : '.');
}

/** fetch() with the key; throws a Failure unless the status is a good one. */
export async function ask(path, { method = 'GET', body, headers = {}, signal } = {}) {
  const key = keys.get();
  let response;
  try {
    response = await fetch(path, {
      method,
      signal,
      cache: 'no-store',
      headers: {
        ...(key ? { Authorization: `Bearer ${key}` } : {}),
        ...(body !== undefined ? { 'Content-Type': 'application/json' } : {}),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Failure('The gateway can’t be reached. Is it running?');
  }
  if (response.ok) return response;
  const failure = await failureOf(response);
  if (response.status === 401) keys.refused();
  throw failure;
}

export const json = async (path, options) => (await ask(path, options)).json();

export const me = () => json('quire/me');
export const recent = (limit) => json(`quire/requests?limit=${limit}`);
export const explain = (id) => json(`quire/explain/${encodeURIComponent(id)}`);
export const tree = () => json('quire/tree');
const worker = (name, what) => `quire/workers/${encodeURIComponent(name)}/${what}`;
export const losses = (name) => json(worker(name, 'losses'));
export const drain = (name) => json(worker(name, 'drain'), { method: 'POST', body: {} });
export const undrain = (name) => json(worker(name, 'undrain'), { method: 'POST', body: {} });
