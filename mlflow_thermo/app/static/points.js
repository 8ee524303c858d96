// What the note of a point says, and how a point of a run looks.

import { runPage } from "./dom.js";
import { between, isNumber, shown, withError } from "./numbers.js";

/** The value of an estimate with its uncertainty, in words. */
export function said(found) {
  if (!found) return "–";
  if (isNumber(found.stderr)) return withError(found.value, found.stderr);
  return isNumber(found.low) && isNumber(found.high)
    ? `${shown(found.value)} (${between(found.low, found.high)})`
    : shown(found.value, 4);
}

/** What the note of any point of a run says first and last. */
export function noteOf({ names, symbol }, row, ...middle) {
  return [
    ["Run", names.get(row.runId) ?? row.runId],
    [symbol, shown(row.lr, 4)],
    ...(isNumber(row.seed) ? [["seed", String(row.seed)]] : []),
    ...middle.filter(([, value]) => value !== "–"),
    ["status", row.status || "not analysed"],
  ];
}

export const hrefOf = ({ experimentId }, row) => (row.runId ? runPage(experimentId, row.runId) : null);
export const isTentative = (row) => row.status !== "ok";
export const hollow = (rows) => (rows.some(isTentative) ? " Hollow: not to be relied on." : "");

export function point(context, row, found, name) {
  return {
    x: row.lr,
    y: found.value,
    low: found.low,
    high: found.high,
    hollow: isTentative(row),
    href: hrefOf(context, row),
    note: noteOf(
      context,
      row,
      [name, isNumber(found.stderr) ? withError(found.value, found.stderr) : shown(found.value, 4)],
      [context.interval, isNumber(found.low) && isNumber(found.high) ? between(found.low, found.high) : "–"],
    ),
  };
}
