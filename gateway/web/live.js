// live.js - what the gateway tells as it happens (/quire/live): the pool each second, and each
// request that ended. One connection for all views, opened again when it breaks.
import { ask } from './api.js';
import { events } from './sse.js';

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15000;
const SILENCE_MS = 10000; // the pool's state comes every second; after this the line is dead

export class Live extends EventTarget {
  /** 'off' | 'connecting' | 'live' | 'waiting' */
  state = 'off';
  pool = null; // the last state of the pool
  trouble = ''; // why there is no connection, as a sentence
  retryAt = 0; // when waiting: performance.now() of the next try

  #stop = null;
  #wake = null;

  start() {
    if (this.#stop) return;
    this.#stop = new AbortController();
    this.#run(this.#stop.signal);
  }

  stop() {
    this.#stop?.abort();
    this.#stop = null;
    this.#wake?.();
    this.#set('off');
  }

  /** Tries again at once instead of waiting. */
  retry() {
    this.#wake?.();
  }

  #set(state) {
    this.state = state;
    this.dispatchEvent(new Event('state'));
  }

  async #run(signal) {
    let wait = FIRST_WAIT_MS;
    while (!signal.aborted) {
      this.#set('connecting');
      try {
        await this.#listen(signal, () => (wait = FIRST_WAIT_MS));
        this.trouble = 'The gateway closed the connection.';
      } catch (error) {
        if (signal.aborted) return;
        this.trouble = error.message;
        if (error.status === 401) return this.stop(); // the key dialog starts us again
      }
      if (signal.aborted) return;
      this.retryAt = performance.now() + wait;
      this.#set('waiting');
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, wait);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      // A little chance in it, so that many pages do not come back at the same instant.
      wait = Math.min(LONGEST_WAIT_MS, wait * 2) * (0.85 + 0.3 * Math.random());
    }
  }

  async #listen(signal, arrived) {
    const silence = new AbortController();
    const both = AbortSignal.any ? AbortSignal.any([signal, silence.signal]) : signal;
    let timer;
    const watch = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
    };
    try {
      watch();
      const response = await ask('quire/live', { signal: both });
      for await (const { event, data } of events(response)) {
        watch();
        arrived();
        const value = JSON.parse(data);
        if (event === 'pool') {
          this.pool = value;
          if (this.state !== 'live') this.#set('live');
        }
        this.dispatchEvent(new CustomEvent(event, { detail: value }));
      }
    } catch (error) {
      if (silence.signal.aborted) throw new Error('The gateway has been silent for 10 seconds.');
      throw error.name === 'TypeError' ? new Error('The connection to the gateway broke.') : error;
    } finally {
      clearTimeout(timer);
    }
  }
}
