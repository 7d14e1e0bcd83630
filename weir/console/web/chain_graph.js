// The boxes and links of a causal chain, from the nodes and edges that `weir why --json` prints. Requests with the same effect are one box.

/** Rows of the drawing, from the first cause to the last effect, and the kinds of nodes in each. */
const ROWS = [["requests"], ["verdicts"], ["alert"], ["requested", "approved", "rows"], ["dataset"], ["trained", "completed", "parent"], ["model"], ["blessed", "refused"], ["shadow", "canary", "promoted", "rolled_back", "expired"], ["route"]];
/** The kinds of the two ends of an edge, for an end that the log lacks. */
const ENDS = {
  evidence: ["requests", "alert"],
  row: ["rows", "dataset"],
  agreed: ["alert", "requested"],
  requested: ["", "requested"],
  approved: ["requested", "approved"],
  pinned: ["requested", "dataset"],
  used: ["dataset", "trained"],
  trained: ["trained", "model"],
  derived: ["parent", "model"],
  evaluated: ["model", "blessed"],
  started: ["model", "blessed"],
  routed: ["blessed", "route"],
};

/**
 * Return {rows, links}. A box is {key, kind, node, ids, checks}: `node` is undefined if the log lacks it, `ids` are the requests of a box of
 * requests, and `checks` are the checked edges that lead to it, by kind. A link is {from, to, broken}.
 */
export function graphOf({ version, nodes, edges }) {
  const known = new Map(nodes.map((node) => [node.id, node]));
  const boxes = new Map();
  const links = new Map();
  const box = (key, kind, node) => boxes.get(key) ?? boxes.set(key, { key, kind, node, ids: [], checks: new Map() }).get(key);
  const link = (from, to, broken) => links.set(`${from}>${to}`, { from, to, broken: broken || (links.get(`${from}>${to}`)?.broken ?? false) });
  const kindOf = (node) => (node.kind === "model" && node.id !== version ? "parent" : node.kind);
  for (const node of nodes) if (node.kind !== "request") box(node.id, kindOf(node), node);
  for (const edge of edges) {
    const [causeKind, effectKind] = ENDS[edge.kind];
    const effect = box(edge.effect, effectKind, known.get(edge.effect));
    checked(effect, edge);
    if (edge.kind === "evidence" || edge.kind === "row") {
      const group = box(`${causeKind} of ${edge.effect}`, causeKind);
      group.ids.push(edge.cause);
      if (edge.kind === "row") {
        link(group.key, edge.effect, Boolean(edge.broken));
        continue;
      }
      const verdicts = box(`verdicts of ${edge.effect}`, "verdicts", known.get(edge.effect));
      if (!edge.broken) verdicts.ids.push(edge.cause);
      link(group.key, verdicts.key, Boolean(edge.broken));
      link(verdicts.key, edge.effect, Boolean(edge.broken));
    } else if (edge.cause) {
      box(edge.cause, causeKind, known.get(edge.cause));
      link(edge.cause, edge.effect, Boolean(edge.broken));
    }
  }
  const rows = ROWS.map((kinds) => [...boxes.values()].filter((one) => kinds.includes(one.kind)));
  return { rows: rows.filter((row) => row.length > 0), links: [...links.values()] };
}

/** Count the edge among the checks of its effect. */
function checked(effect, { kind, check, broken }) {
  const known = effect.checks.get(kind) ?? { kind, check, total: 0, broken: [] };
  known.total += 1;
  if (broken) known.broken.push(broken);
  effect.checks.set(kind, known);
}
