// Elements of the page. Texts come from anyone who may write a run, so they become text nodes: there is no other way
// here to put one on the page, and the page's policy forbids markup from strings as well.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [event, action] of Object.entries(value)) node.addEventListener(event, action);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An HTML element with its attributes, and its children: nodes, or texts. */
export const el = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);

/** An SVG element, likewise. */
export const svg = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

/** A link within this server; `path` is ours, and each value of `query` is encoded. */
export function link(path, query, properties, ...children) {
  return el("a", { ...properties, href: address(path, query) }, ...children);
}

/** The address of `path`, relative to the page, with its query. */
export function address(path, query) {
  const asked = new URLSearchParams(query ?? {}).toString();
  return asked ? `${path}?${asked}` : path;
}

/** MLflow's own page of a run, or of one of its files. */
export function runPage(experimentId, runId, file) {
  const place = `../#/experiments/${encodeURIComponent(experimentId)}/runs/${encodeURIComponent(runId)}`;
  return `${place}${file ? `/artifacts/${encodeURIComponent(file)}` : ""}?workflowType=machine_learning`;
}

/** A name as one word of a shell. */
export const quoted = (text) => (/^[\w.:/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
