// scale.js - logarithmic axes.

const STEPS = [1, 2, 5];

/** All 1, 2 and 5 times a power of ten from below `low` to above `high`. */
function round(low, high) {
  const values = [];
  for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++)
    for (const step of STEPS) values.push(Number((step * 10 ** p).toPrecision(1)));
  const first = values.findLastIndex((v) => v <= low);
  const last = values.findIndex((v) => v >= high && v > values[first]);
  return values.slice(first, last + 1);
}

/** {low, high, ticks, at(from, to)}: at() gives the function from a value to a place. */
export function logScale(least, most) {
  const all = round(least, most);
  const low = all[0];
  const high = all.at(-1);
  // Over many powers of ten only those are named.
  const ticks = all.length <= 7 ? all : all.filter((v) => String(v).replace(/[.0]/g, '') === '1');
  const span = Math.log10(high / low);
  const at = (from, to) => (value) => from + (Math.log10(Math.max(value, low) / low) / span) * (to - from);
  return { low, high, ticks, at };
}
