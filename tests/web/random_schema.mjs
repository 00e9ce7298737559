// random_schema.mjs - JSON Schemas out of a seed, within the subset that answers can be held to.
const names = ['a', 'b', 'name', 'größe', 'x y', '"q"', '', '\\', '😀', 'null', '1', 'a/b', 'a~b', '\n'];
const values = [null, true, false, 0, -1, 3.5, 1e21, 'x', 'ü', '', '"', 'a\nb', 12345678901];
const definitions = ['one', 'two', 'a~b/c'];

/** below(n): a number from 0 to n - 1, from a generator of its own. */
export function generator(seed) {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return Math.floor((state / 0x80000000) * n);
  };
}

export function randomSchema(below) {
  const some = (n, make) => Array.from({ length: n }, make);
  const pick = (list) => list[below(list.length)];
  const maybe = (object) => (below(2) ? object : {});
  const defs = {};

  function scalar() {
    const low = below(1000) - 500;
    switch (below(7)) {
      case 0: return { type: 'string', ...maybe({ minLength: below(5) }), ...maybe({ maxLength: 5 + below(10) }) };
      case 1: return { type: 'integer', ...maybe({ minimum: low }), ...maybe({ maximum: low + below(100) }) };
      case 2: return { type: 'number', ...maybe({ minimum: low / 8 }), ...maybe({ exclusiveMaximum: low / 8 + 0.001 + below(100) / 7 }) };
      case 3: return { type: pick(['boolean', 'null']) };
      case 4: return { enum: [...new Set(some(1 + below(4), () => pick(values)))] };
      case 5: return { const: pick(values) };
      default: return { type: ['null', pick(['string', 'integer', 'boolean'])] };
    }
  }

  function object(depth) {
    const own = [...new Set(some(below(5), () => pick(names)))];
    return {
      type: 'object', properties: Object.fromEntries(own.map((name) => [name, any(depth - 1)])), required: own.filter(() => below(2)),
      ...(below(3) ? { additionalProperties: false } : maybe({ additionalProperties: scalar() })),
    };
  }

  function array(depth) {
    const least = below(3);
    if (below(2)) return { type: 'array', items: any(depth - 1), ...maybe({ minItems: least }), ...maybe({ maxItems: least + below(3) }) };
    return { type: 'array', prefixItems: some(1 + below(3), () => any(depth - 1)), items: below(2) ? false : scalar(), ...maybe({ minItems: below(2) }) };
  }

  /* A definition may refer to itself, through a choice that ends it. */
  function reference(depth) {
    const name = pick(definitions);
    const $ref = `#/$defs/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    if (!defs[name]) {
      defs[name] = { type: 'null' };
      defs[name] = below(2) ? any(depth - 1) : { type: 'object', properties: { next: { anyOf: [{ type: 'null' }, { $ref }] } }, required: ['next'], additionalProperties: false };
    }
    return { $ref };
  }

  function any(depth) {
    if (depth <= 0) return scalar();
    switch (below(7)) {
      case 0: case 1: return scalar();
      case 2: case 3: return object(depth);
      case 4: return array(depth);
      case 5: return { anyOf: some(2 + below(3), () => any(depth - 1)) };
      default: return reference(depth);
    }
  }

  const schema = any(3);
  return Object.keys(defs).length > 0 ? { ...schema, $defs: defs } : schema;
}
