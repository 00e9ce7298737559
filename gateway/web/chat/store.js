// store.js - conversations and their pictures in this browser (IndexedDB).
//
// A conversation is one record with all its messages; pictures are records of their own, because
// they are large and never change. Where the browser gives no database (some private windows), both
// live in memory until the page is left, and `lasting` says so.

const NAME = 'quire';
const VERSION = 1;

const finished = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

function open() {
  const request = indexedDB.open(NAME, VERSION);
  request.onupgradeneeded = () => {
    const db = request.result;
    db.createObjectStore('conversations', { keyPath: 'id' });
    db.createObjectStore('pictures', { keyPath: 'id' }).createIndex('conversation', 'conversation');
  };
  return finished(request);
}

export class Store {
  lasting = true;
  #db;
  #memory = { conversations: new Map(), pictures: new Map() };

  async open() {
    try {
      this.#db = await open();
    } catch {
      this.lasting = false;
    }
    return this;
  }

  #store(name, mode = 'readonly') {
    return this.#db.transaction(name, mode).objectStore(name);
  }

  async #put(name, value) {
    if (this.#db) await finished(this.#store(name, 'readwrite').put(value));
    else this.#memory[name].set(value.id, structuredClone(value));
  }

  async #get(name, id) {
    if (this.#db) return finished(this.#store(name).get(id));
    return structuredClone(this.#memory[name].get(id));
  }

  /** [{id, title, updated}], the latest first. */
  async list() {
    const all = this.#db
      ? await finished(this.#store('conversations').getAll())
      : [...this.#memory.conversations.values()];
    return all.map(({ id, title, updated }) => ({ id, title, updated }))
      .sort((a, b) => b.updated - a.updated);
  }

  load(id) {
    return this.#get('conversations', id);
  }

  save(conversation) {
    return this.#put('conversations', conversation);
  }

  /** picture: {id, conversation, blob} */
  savePicture(picture) {
    return this.#put('pictures', picture);
  }

  async picture(id) {
    return (await this.#get('pictures', id))?.blob;
  }

  /** Removes a conversation and its pictures. */
  async remove(id) {
    if (!this.#db) {
      this.#memory.conversations.delete(id);
      for (const [key, p] of this.#memory.pictures) if (p.conversation === id) this.#memory.pictures.delete(key);
      return;
    }
    await finished(this.#store('conversations', 'readwrite').delete(id));
    const pictures = this.#store('pictures', 'readwrite');
    const keys = await finished(pictures.index('conversation').getAllKeys(id));
    await Promise.all(keys.map((key) => finished(pictures.delete(key))));
  }
}
