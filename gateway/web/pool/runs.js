// runs.js - the tree's nodes, joined to runs without a fork.

/**
 * nodes as /quire/tree gives them, parents before children. Gives the roots:
 * {key, nodes, first (how many segments lie before it), positions, longest (of all runs), owners:
 * [{name, positions}], requests, last, children}. Runs that were used last come first.
 */
export function runsOf(nodes) {
  const byLink = new Map();
  const roots = [];
  for (const n of nodes) {
    const above = byLink.get(n.parent);
    const node = { ...n, owners: n.owners ?? [], positions: Math.max(0, n.ends_at - (above?.ends_at ?? 0)), below: [] };
    byLink.set(n.link, node);
    (above ? above.below : roots).push(node);
  }
  const all = [];
  const runs = roots.map((root) => runFrom(root, 0, all));
  const longest = Math.max(1, ...all.map((r) => r.positions));
  for (const run of all) run.longest = longest;
  return runs.sort(latestFirst);
}

const latestFirst = (a, b) => b.last - a.last;

function runFrom(start, first, all) {
  const nodes = [start];
  while (nodes.at(-1).below.length === 1) nodes.push(nodes.at(-1).below[0]);
  const run = { key: start.link, nodes: nodes.map(({ below, ...rest }) => rest), first,
    positions: 0, longest: 0, owners: [], requests: start.requests, last: 0, children: [] };
  all.push(run);
  const held = new Map();
  for (const node of nodes) {
    run.positions += node.positions;
    run.last = Math.max(run.last, node.last);
    for (const name of node.owners) held.set(name, (held.get(name) ?? 0) + node.positions);
  }
  run.owners = [...held].map(([name, positions]) => ({ name, positions })).sort((a, b) => b.positions - a.positions);
  run.children = nodes.at(-1).below.map((n) => runFrom(n, first + nodes.length, all)).sort(latestFirst);
  run.last = Math.max(run.last, ...run.children.map((c) => c.last));
  return run;
}
