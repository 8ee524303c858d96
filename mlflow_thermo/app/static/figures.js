// The charts of a study: what is drawn, and what the note of each point says.

import { ramp } from "./chart.js";
import { runPage } from "./dom.js";
import { isNumber, shown, withError } from "./numbers.js";
import { freeEnergies, isGibbs, states } from "./results.js";

/** A quantity whose largest value is more than this many times its smallest is drawn on a log axis. */
const WIDE = 30;
/** Curves that can be told apart in one chart. */
const MOST_CURVES = 12;

/** The thermometers, in the order of the legend: field of a row, name, tone and mark. */
const THERMOMETERS = [
  ["temperature", "T = dU/dS", "teal", "square"],
  ["virial_temperature", "virial", "purple", "triangle"],
  ["noise_temperature", "gradient noise", "amber", "cross"],
  ["paper_temperature", "consecutive iterates", "grey", "circle"],
  ["equipartition_temperature", "equipartition", "orange", "diamond"],
];
const REGIME_MARKS = { stationary: "circle", converging: "down", uniform: "square", diverged: "cross" };

/** The value of an estimate with its uncertainty, in words. */
export function said(found) {
  if (!found) return "–";
  if (isNumber(found.stderr)) return withError(found.value, found.stderr);
  return isNumber(found.low) && isNumber(found.high) ? `${shown(found.value)} (${shown(found.low)} to ${shown(found.high)})` : shown(found.value, 4);
}

/** All charts of a study by name, those whose numbers do not exist left out. */
export function figures({ experimentId, rows, study, losses, names, running }) {
  const gibbs = isGibbs(rows);
  const symbol = gibbs ? "T set" : "lr";
  const x = { title: gibbs ? "Temperature that was set" : "Learning rate lr", log: true };
  const context = { experimentId, rows, study, losses, names, symbol, x, spans: gibbs ? [] : (study?.boundaries ?? []) };
  const found = {
    // While something runs, its loss is what changes.
    ...(running ? { course: course(context) } : {}),
    temperature: temperature(context, gibbs),
    loss: quantity(context, "loss", "U: training loss", "Training loss U (mean per sample)", study?.baselines.loss),
    entropy: quantity(context, "entropy", "S: entropy of the weights", "Entropy S (nats)", study?.baselines.entropy),
    slope: slope(context),
    "free-energy": freeEnergy(context),
    signal: signal(context),
    samples: samples(context),
    chains: chains(context),
    ...(running ? {} : { course: course(context) }),
  };
  return Object.fromEntries(Object.entries(found).filter(([, spec]) => spec && spec.series.some((one) => one.points.length)));
}

/** What the note of any point of a run says first and last. */
function noteOf({ names, symbol }, row, ...middle) {
  return [
    ["Run", names.get(row.runId) ?? row.runId],
    [symbol, shown(row.lr, 4)],
    ...(isNumber(row.seed) ? [["seed", String(row.seed)]] : []),
    ...middle.filter(([, value]) => value !== "–"),
    ["status", row.status || "not analysed"],
  ];
}

const hrefOf = ({ experimentId }, row) => (row.runId ? runPage(experimentId, row.runId) : null);
const isTentative = (row) => row.status !== "ok";
const hollow = (rows) => (rows.some(isTentative) ? " Hollow: not to be relied on." : "");

function point(context, row, found, name) {
  return {
    x: row.lr, y: found.value, low: found.low, high: found.high, hollow: isTentative(row), href: hrefOf(context, row),
    note: noteOf(context, row, [name, said(found)],
      ["95 % interval", isNumber(found.low) && isNumber(found.stderr) ? `${shown(found.low, 4)} to ${shown(found.high, 4)}` : "–"]),
  };
}

function temperature(context, gibbs) {
  const { rows, study, x } = context;
  const hasVirial = rows.some((row) => row.virial_temperature);
  const series = THERMOMETERS
    // Equipartition needs no gradients: where there are some, they say it better.
    .filter(([field]) => field !== "equipartition_temperature" || !hasVirial)
    .map(([field, name, tone, mark], i) => ({
      name, tone, mark, line: i === 0, band: i === 0,
      points: rows.filter((row) => row[field]).map((row) => ({
        ...point(context, row, row[field], name),
        hollow: i === 0 && isTentative(row),
      })),
    }))
    .filter((one) => one.points.some((p) => p.y > 0));
  const law = study?.law;
  const rates = rows.map((row) => row.lr).filter((lr) => lr > 0);
  if (gibbs) {
    series.push({ name: "T that was set", tone: "ink", line: true, dash: true, note: false, points: rates.map((lr) => ({ x: lr, y: lr })) });
  } else if (law && series.length) {
    const ends = [law.lr_min, law.lr_max].map((lr) => ({ x: lr, y: law.prefactor * lr ** law.exponent }));
    series.push({ name: "power law", tone: "ink", line: true, dash: true, note: false, points: ends });
  }
  const interval = study?.method === "interval" ? "bounds" : "95 % intervals";
  return {
    title: "T: temperature",
    text: `Loss per nat, with ${interval}. ${gibbs ? "Dashed: the temperature that was set." : ""}${hollow(rows)}`,
    x, y: { title: "Temperature T (loss per nat)", log: true }, series, spans: context.spans,
  };
}

function quantity(context, field, title, label, level) {
  const rows = context.rows.filter((row) => row[field] && row.lr > 0);
  const values = rows.map((row) => row[field].value);
  const log = Math.min(...values) > 0 && Math.max(...values) > WIDE * Math.min(...values);
  const symbol = title[0];
  // Far away it would flatten everything else.
  const near = isNumber(level) && level >= Math.min(...values) - spread(values) && level <= Math.max(...values) + spread(values);
  const regimes = [...new Set(rows.map((row) => row.regime))];
  return {
    title, text: `With 95 % intervals.${hollow(rows)}`,
    x: context.x, y: { title: label, log }, spans: context.spans,
    levels: near ? [{ y: level, text: "uniformly random weights" }] : [],
    series: regimes.map((regime) => ({
      name: regime || "regime unknown", tone: "teal", mark: REGIME_MARKS[regime] ?? "diamond",
      points: rows.filter((row) => row.regime === regime).map((row) => point(context, row, row[field], symbol)),
    })),
  };
}

const spread = (values) => Math.max(...values) - Math.min(...values);

function slope(context) {
  const rows = context.rows.filter((row) => row.loss && row.entropy);
  if (rows.length < 3) return null;
  return {
    title: "U against S", text: "Its slope is the temperature; convex and rising where F is minimised.",
    x: { title: "Entropy S (nats)", log: false }, y: { title: "Training loss U", log: false },
    series: [{
      tone: "teal", mark: "circle",
      points: rows.map((row) => ({
        x: row.entropy.value, y: row.loss.value, low: row.loss.low, high: row.loss.high, hollow: isTentative(row),
        href: hrefOf(context, row),
        note: noteOf(context, row, ["U", said(row.loss)], ["S", said(row.entropy)], ["T", said(row.temperature)]),
      })),
    }],
  };
}

function freeEnergy(context) {
  const found = states(context.rows);
  if (found.length < 3) return null;
  const curves = freeEnergies(found);
  const chosen = thinned(curves, MOST_CURVES);
  const place = (lr) => (found.length < 2 ? 0 : found.findIndex((one) => one.lr === lr) / (found.length - 1));
  return {
    title: "F = U − T·S", legend: "all",
    text: `Each curve at the temperature of one ${context.symbol}, from its minimum 0 to 1; the star is that ${context.symbol} itself, where the minimum belongs.`,
    x: { title: `${context.symbol}′ of each state`, log: true }, y: { title: "F(lr′; T), scaled", log: false },
    series: chosen.flatMap(({ lr, curve }) => [
      { colour: ramp(place(lr)), line: true, note: false, points: curve.map((p) => ({ x: p.lr, y: p.value })) },
      {
        name: `T of ${shown(lr)}`, colour: ramp(place(lr)), mark: "star",
        points: curve.filter((p) => p.lr === lr).map((p) => ({
          x: p.lr, y: p.value,
          note: [[`Curve at T of ${context.symbol}`, shown(lr, 4)], ["T", shown(found.find((one) => one.lr === lr).temperature)],
            ["minimum at", shown(curve.reduce((a, b) => (b.value < a.value ? b : a)).lr, 4)]],
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
  return [...rows].sort((a, b) => a.lr - b.lr).map((row) => {
    const name = named.has(row.lr) || !(row.lr > 0) ? "" : `${context.symbol} ${shown(row.lr)}`;
    named.add(row.lr);
    const t = ends[1] > ends[0] && row.lr > 0 ? (Math.log(row.lr) - ends[0]) / (ends[1] - ends[0]) : 0.3;
    return { name, colour: ramp(t), line: true, points: pointsOf(row) };
  });
}

function signal(context) {
  const rows = thinned(context.rows.filter((row) => row.signal.length), 3 * MOST_CURVES);
  return {
    title: "SNR of the gradients", legend: "all",
    text: "Full gradient over the noise of a minibatch's, along the training.",
    x: { title: "Step", log: true }, y: { title: "|∇L| / rms |g − ∇L|", log: true },
    series: lines(context, rows, (row) => row.signal.map(({ step, snr, stderr }) => ({
      x: step, y: snr, href: hrefOf(context, row),
      note: noteOf(context, row, ["step", step.toLocaleString("en")], ["SNR", isNumber(stderr) ? withError(snr, stderr) : shown(snr)]),
    }))),
  };
}

function samples(context) {
  const rows = context.rows.filter((row) => row.nEff > 0);
  const values = rows.map((row) => row.nEff);
  const wide = Math.max(...values) > WIDE * Math.min(...values);
  return {
    title: "Independent snapshots", text: "n_eff of each run, over all of its chains.",
    x: context.x, y: { title: "n_eff", ...(wide ? { log: true } : { zero: true }) },
    series: [{
      tone: "teal", mark: "circle",
      points: rows.map((row) => ({
        x: row.lr, y: row.nEff, hollow: isTentative(row), href: hrefOf(context, row),
        note: noteOf(context, row, ["n_eff", shown(row.nEff, 4)], ["τ", isNumber(row.tau) ? `${shown(row.tau)} snapshots` : "–"],
          ["chains", isNumber(row.chains) ? String(row.chains) : "–"]),
      })),
    }],
  };
}

function chains(context) {
  const rows = context.rows.filter((row) => isNumber(row.rhat));
  return {
    title: "R-hat of the slow modes", text: "Split R-hat, over the chains where a run has several; 1 when all parts agree.",
    x: context.x, y: { title: "R-hat", log: false }, levels: rows.length ? [{ y: 1.01, text: "1.01" }] : [],
    series: [{
      tone: "purple", mark: "circle",
      points: rows.map((row) => ({
        x: row.lr, y: row.rhat, hollow: isTentative(row), href: hrefOf(context, row),
        note: noteOf(context, row, ["R-hat", row.rhat.toFixed(4)], ["chains", isNumber(row.chains) ? String(row.chains) : "1"],
          ["n_eff", shown(row.nEff, 4)]),
      })),
    }],
  };
}

function course(context) {
  const rows = thinned(context.rows.filter((row) => context.losses.get(row.runId)?.length), 3 * MOST_CURVES);
  return {
    title: "Loss along the training", text: "Training loss as it was logged.", legend: "all",
    x: { title: "Step", log: true }, y: { title: "Training loss", log: true },
    series: lines(context, rows, (row) => context.losses.get(row.runId).map(([step, value]) => ({
      x: step, y: value, href: hrefOf(context, row),
      note: noteOf(context, row, ["step", step.toLocaleString("en")], ["loss", shown(value, 4)]),
    }))),
  };
}
