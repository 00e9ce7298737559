// runs.js - answers that are being written, one in a conversation at most. They go on while another
// conversation or view is shown.
import { Announcer } from './announce.js';
import { ask, detailsOf } from './ask.js';
import * as tree from './tree.js';

export class Runs {
  #runs = new Map(); // conversation id -> {conversation, node, controller, done}
  announcer = new Announcer();

  /** on: {changed(conversation, node), ended(conversation)} */
  constructor(store, on) {
    this.store = store;
    this.on = on;
  }

  isRunning(id) {
    return this.#runs.has(id);
  }

  /** The conversation as it is in memory while it has an answer under way. */
  conversation(id) {
    return this.#runs.get(id)?.conversation;
  }

  stop(id) {
    this.#runs.get(id)?.controller.abort();
  }

  settled(id) {
    return this.#runs.get(id)?.done;
  }

  /** Begins an answer to `question`, as a new branch below it. */
  start(conversation, question) {
    const node = tree.add(conversation, question.id, { role: 'assistant', text: '', details: null });
    // No enumerable property: it must not be kept, or a page closed now would wait for ever later.
    Object.defineProperty(node, 'running', { value: true, writable: true });
    const run = { conversation, node, controller: new AbortController() };
    this.#runs.set(conversation.id, run);
    this.announcer.begin();
    run.done = this.#run(run, question);
  }

  async #run({ conversation, node, controller }, question) {
    let frame = 0;
    // Tokens may come faster than frames; each frame is drawn once.
    const changed = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        this.on.changed(conversation, node);
      });
    };
    let how = '';
    try {
      const result = await ask(conversation, tree.upTo(conversation, question), this.store, controller.signal, {
        begun: (id) => (node.requestId = id),
        model: (name) => (node.model = name),
        text: (piece) => {
          node.text += piece;
          this.announcer.add(node.text);
          changed();
        },
      });
      Object.assign(node, { details: result.details, cut: result.finish === 'length' });
    } catch (error) {
      if (controller.signal.aborted) {
        node.stopped = true;
        how = 'Stopped.';
      } else node.error = sentenceOf(error);
    }
    cancelAnimationFrame(frame);
    node.running = false;
    this.#runs.delete(conversation.id);
    this.announcer.end(node.text, how);
    this.on.ended(conversation);
    if (node.stopped && node.requestId) await this.#lookUp(conversation, node);
  }

  /** What a stopped answer cost is known to the gateway a moment later. */
  async #lookUp(conversation, node) {
    for (const wait of [200, 600, 1500]) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      const record = await detailsOf(node.requestId).catch(() => null);
      if (!record) continue;
      node.details = { id: record.id, worker: record.worker, attempts: record.attempts,
        usage: record.usage, timings: record.timings, segments: record.segments };
      this.on.changed(conversation, node);
      await this.store.load(conversation.id).then((kept) => kept && this.store.save(conversation));
      return;
    }
  }
}

function sentenceOf(error) {
  if (error.retrySeconds) return `${error.message} It asks to wait ${error.retrySeconds} s.`;
  if (error.name === 'TypeError') return 'The connection to the gateway broke.';
  if (error.name === 'SyntaxError') return 'The gateway sent something that is not an answer.';
  return error.message;
}
