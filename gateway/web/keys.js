// keys.js - the visitor's key: kept for this tab, or in this browser when asked to.

const NAME = 'quire-key';
const listeners = new Set();

const read = (storage) => {
  try {
    return storage.getItem(NAME);
  } catch {
    return null; // storage may be forbidden; then the key lives as long as the page
  }
};
let key = read(sessionStorage) ?? read(localStorage) ?? '';

export const get = () => key;
export const isRemembered = () => read(localStorage) !== null;

export function set(value, remember) {
  forget();
  key = value;
  try {
    (remember ? localStorage : sessionStorage).setItem(NAME, value);
  } catch {
    // as above
  }
}

export function forget() {
  key = '';
  for (const storage of [sessionStorage, localStorage]) {
    try {
      storage.removeItem(NAME);
    } catch {
      // as above
    }
  }
}

/** Calls back when the gateway refused the key of a request: it was changed, or there is none. */
export const onRefused = (listener) => listeners.add(listener);
export const refused = () => listeners.forEach((listener) => listener());
