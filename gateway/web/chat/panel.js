// panel.js - a conversation's system text and options. What is left empty is up to the pool.
import { freshId, h } from '../dom.js';

const NAME = 'quire-options';

/** New conversations begin with the options that were used last. */
export function lastOptions() {
  try {
    return JSON.parse(localStorage.getItem(NAME)) ?? {};
  } catch {
    return {};
  }
}

export class OptionsPanel {
  #conversation = null;

  /** changed(): the conversation has to be saved. */
  constructor(changed) {
    this.changed = changed;
    const field = (label, input, hint) => {
      input.id = freshId('option');
      const text = hint && h('p', { class: 'hint', id: `${input.id}-hint` }, hint);
      if (text) input.setAttribute('aria-describedby', text.id);
      return h('div', { class: 'field' }, h('label', { for: input.id }, label), input, text);
    };
    const figure = (props) => h('input', { type: 'number', class: 'input', placeholder: 'default', onchange: () => this.#read(), ...props });
    this.system = h('textarea', { class: 'input', rows: 3, onchange: () => this.#read() });
    this.model = h('select', { class: 'input', onchange: () => this.#read() });
    this.temperature = figure({ min: 0, max: 2, step: 0.1 });
    this.tokens = figure({ min: 1, max: 65536, step: 1 });
    this.seed = figure({ min: 0, step: 1 });
    this.element = h('aside', { class: 'options', id: 'chat-options', hidden: true, 'aria-label': 'Options of the conversation' },
      field('System text', this.system, 'Goes before the first message. Changing it makes the whole conversation new to the pool.'),
      field('Model', this.model),
      field('Temperature', this.temperature, '0 always takes the likeliest token.'),
      field('Largest number of tokens', this.tokens),
      field('Seed', this.seed, 'The same seed gives the same answer again.'));
    this.models = [];
  }

  set models(names) {
    const chosen = this.model.value;
    this.model.replaceChildren(h('option', { value: '' }, 'The pool’s default'), ...names.map((name) => h('option', { value: name }, name)));
    this.model.value = names.includes(chosen) ? chosen : '';
    if (this.#conversation) this.show(this.#conversation);
  }

  show(conversation) {
    this.#conversation = conversation;
    const { model, temperature, max_tokens, seed } = conversation.options;
    this.system.value = conversation.system;
    // A model that is gone stays in the list: that it is gone should be seen, not guessed.
    if (model && ![...this.model.options].some((o) => o.value === model))
      this.model.append(h('option', { value: model }, `${model} (not served now)`));
    this.model.value = model;
    this.temperature.value = temperature;
    this.tokens.value = max_tokens;
    this.seed.value = seed;
  }

  #read() {
    const c = this.#conversation;
    if (!c) return;
    c.system = this.system.value;
    c.options = {
      model: this.model.value,
      temperature: this.temperature.value,
      max_tokens: this.tokens.value,
      seed: this.seed.value,
    };
    try {
      localStorage.setItem(NAME, JSON.stringify({ ...c.options, seed: '' }));
    } catch {
      // then each conversation begins with the defaults
    }
    this.changed();
  }
}
