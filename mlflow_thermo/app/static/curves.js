// The charts of curves: free energies, and what is logged along the training, a colour for each learning rate.

import { ramp } from "./chart.js";
import { isNumber, shown, withError } from "./numbers.js";
import { hrefOf, noteOf } from "./points.js";
import { freeEnergies, states } from "./results.js";

/** Curves that can be told apart in one chart. */
const MOST_CURVES = 12;

/** F of all states at the temperature of each learning rate. */
export function freeEnergy(context) {
  const found = states(context.rows);
  if (found.length < 3) return null;
  const curves = freeEnergies(found);
  const chosen = thinned(curves, MOST_CURVES);
  const own = context.symbol;
  const place = (lr) => (found.length < 2 ? 0 : found.findIndex((one) => one.lr === lr) / (found.length - 1));
  return {
    title: "F = U − T·S",
    legend: "all",
    text: `Each curve at the temperature of one ${own}, from its minimum 0 to 1; the star is that ${own} itself, where the minimum belongs.`,
    x: { title: `${context.symbol}′ of each state`, log: true },
    y: { title: "F(lr′; T), scaled", log: false },
    series: chosen.flatMap(({ lr, curve }) => [
      { colour: ramp(place(lr)), line: true, note: false, points: curve.map((p) => ({ x: p.lr, y: p.value })) },
      {
        name: `T of ${shown(lr)}`,
        colour: ramp(place(lr)),
        mark: "star",
        points: curve
          .filter((p) => p.lr === lr)
          .map((p) => ({
            x: p.lr,
            y: p.value,
            note: [
              [`Curve at T of ${context.symbol}`, shown(lr, 4)],
              ["T", shown(found.find((one) => one.lr === lr).temperature)],
              ["minimum at", shown(curve.reduce((a, b) => (b.value < a.value ? b : a)).lr, 4)],
            ],
          })),
      },
    ]),
  };
}

/** `most` of the entries, evenly chosen. */
function thinned(entries, most) {
  if (entries.length <= most) return entries;
  return Array.from({ length: most }, (_, i) => entries[Math.round((i * (entries.length - 1)) / (most - 1))]);
}

/** One line for each row, coloured by its learning rate. */
function lines(context, rows, pointsOf) {
  const rates = [...new Set(rows.map((row) => row.lr).filter((lr) => lr > 0))].sort((a, b) => a - b);
  const ends = [Math.log(rates[0]), Math.log(rates.at(-1))];
  const named = new Set();
  return [...rows]
    .sort((a, b) => a.lr - b.lr)
    .map((row) => {
      const name = named.has(row.lr) || !(row.lr > 0) ? "" : `${context.symbol} ${shown(row.lr)}`;
      named.add(row.lr);
      const t = ends[1] > ends[0] && row.lr > 0 ? (Math.log(row.lr) - ends[0]) / (ends[1] - ends[0]) : 0.3;
      return { name, colour: ramp(t), line: true, points: pointsOf(row) };
    });
}

/** The signal-to-noise ratio of the gradients along each training. */
export function signal(context) {
  const rows = thinned(
    context.rows.filter((row) => row.signal.length),
    3 * MOST_CURVES,
  );
  return {
    title: "SNR of the gradients",
    legend: "all",
    text: "Full gradient over the noise of a minibatch's, along the training.",
    x: { title: "Step", log: true },
    y: { title: "|∇L| / rms |g − ∇L|", log: true },
    series: lines(context, rows, (row) =>
      row.signal.map(({ step, snr, stderr }) => ({
        x: step,
        y: snr,
        href: hrefOf(context, row),
        note: noteOf(
          context,
          row,
          ["step", step.toLocaleString("en")],
          ["SNR", isNumber(stderr) ? withError(snr, stderr) : shown(snr)],
        ),
      })),
    ),
  };
}

/** The loss along each training. */
export function course(context) {
  const rows = thinned(
    context.rows.filter((row) => context.losses.get(row.runId)?.length),
    3 * MOST_CURVES,
  );
  return {
    title: "Loss along the training",
    text: "Training loss as it was logged.",
    legend: "all",
    x: { title: "Step", log: true },
    y: { title: "Training loss", log: true },
    series: lines(context, rows, (row) =>
      context.losses.get(row.runId).map(([step, value]) => ({
        x: step,
        y: value,
        href: hrefOf(context, row),
        note: noteOf(context, row, ["step", step.toLocaleString("en")], ["loss", shown(value, 4)]),
      })),
    ),
  };
}
