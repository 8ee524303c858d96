// The charts of a study: what is drawn, and what the note of each point says.

import { course, freeEnergy, signal } from "./curves.js";
import { isNumber, shown } from "./numbers.js";
import { hollow, hrefOf, isTentative, noteOf, point, said } from "./points.js";
import { isGibbs } from "./results.js";

/** A quantity whose largest value is more than this many times its smallest is drawn on a log axis. */
const WIDE = 30;
/** The thermometers, in the order of the legend: field of a row, name, tone and mark. */
const THERMOMETERS = [
  ["temperature", "T = dU/dS", "teal", "square"],
  ["virial_temperature", "virial", "purple", "triangle"],
  ["noise_temperature", "gradient noise", "amber", "cross"],
  ["paper_temperature", "consecutive iterates", "grey", "circle"],
  ["equipartition_temperature", "equipartition", "orange", "diamond"],
];
const REGIME_MARKS = { stationary: "circle", converging: "down", uniform: "square", diverged: "cross" };

/** All charts of a study by name, those whose numbers do not exist left out. */
export function figures({ experimentId, rows, study, losses, names, running }) {
  const gibbs = isGibbs(rows);
  const symbol = gibbs ? "T set" : "lr";
  const x = { title: gibbs ? "Temperature that was set" : "Learning rate lr", log: true };
  // The method of the paper gives bounds of no stated level.
  const interval = study?.method === "interval" ? "bounds" : "95 % interval";
  const spans = gibbs ? [] : (study?.boundaries ?? []);
  const context = { experimentId, rows, study, losses, names, symbol, x, spans, interval };
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
  return Object.fromEntries(
    Object.entries(found).filter(([, spec]) => spec && spec.series.some((one) => one.points.length)),
  );
}

function temperature(context, gibbs) {
  const { rows, study, x } = context;
  const hasVirial = rows.some((row) => row.virial_temperature);
  const series = THERMOMETERS
    // Equipartition needs no gradients: where there are some, they say it better.
    .filter(([field]) => field !== "equipartition_temperature" || !hasVirial)
    .map(([field, name, tone, mark], i) => ({
      name,
      tone,
      mark,
      line: i === 0,
      band: i === 0,
      points: rows
        .filter((row) => row[field])
        .map((row) => ({
          ...point(context, row, row[field], name),
          hollow: i === 0 && isTentative(row),
        })),
    }))
    .filter((one) => one.points.some((p) => p.y > 0));
  const known = context.interval === "bounds" ? "bounds" : "95 % intervals";
  const law = study?.law;
  const rates = rows.map((row) => row.lr).filter((lr) => lr > 0);
  if (gibbs) {
    series.push({
      name: "T that was set",
      tone: "ink",
      line: true,
      dash: true,
      note: false,
      points: rates.map((lr) => ({ x: lr, y: lr })),
    });
  } else if (law && series.length) {
    const ends = [law.lr_min, law.lr_max].map((lr) => ({ x: lr, y: law.prefactor * lr ** law.exponent }));
    series.push({ name: "power law", tone: "ink", line: true, dash: true, note: false, points: ends });
  }
  return {
    title: "T: temperature",
    text: `Loss per nat, with ${known}.${gibbs ? " Dashed: the temperature that was set." : ""}${hollow(rows)}`,
    x,
    y: { title: "Temperature T (loss per nat)", log: true },
    series,
    spans: context.spans,
  };
}

function quantity(context, field, title, label, level) {
  const rows = context.rows.filter((row) => row[field] && row.lr > 0);
  const values = rows.map((row) => row[field].value);
  const log = Math.min(...values) > 0 && Math.max(...values) > WIDE * Math.min(...values);
  const symbol = title[0];
  // Far away it would flatten everything else.
  const near =
    isNumber(level) && level >= Math.min(...values) - spread(values) && level <= Math.max(...values) + spread(values);
  const regimes = [...new Set(rows.map((row) => row.regime))];
  return {
    title,
    text: `With 95 % intervals.${hollow(rows)}`,
    x: context.x,
    y: { title: label, log },
    spans: context.spans,
    levels: near ? [{ y: level, text: "uniformly random weights" }] : [],
    series: regimes.map((regime) => ({
      name: regime || "regime unknown",
      tone: "teal",
      mark: REGIME_MARKS[regime] ?? "diamond",
      points: rows.filter((row) => row.regime === regime).map((row) => point(context, row, row[field], symbol)),
    })),
  };
}

const spread = (values) => Math.max(...values) - Math.min(...values);

function slope(context) {
  const rows = context.rows.filter((row) => row.loss && row.entropy);
  if (rows.length < 3) return null;
  return {
    title: "U against S",
    text: "Its slope is the temperature; convex and rising where F is minimised.",
    x: { title: "Entropy S (nats)", log: false },
    y: { title: "Training loss U", log: false },
    series: [
      {
        tone: "teal",
        mark: "circle",
        points: rows.map((row) => ({
          x: row.entropy.value,
          y: row.loss.value,
          low: row.loss.low,
          high: row.loss.high,
          hollow: isTentative(row),
          href: hrefOf(context, row),
          note: noteOf(context, row, ["U", said(row.loss)], ["S", said(row.entropy)], ["T", said(row.temperature)]),
        })),
      },
    ],
  };
}

function samples(context) {
  const rows = context.rows.filter((row) => row.nEff > 0);
  const values = rows.map((row) => row.nEff);
  const wide = Math.max(...values) > WIDE * Math.min(...values);
  return {
    title: "Independent snapshots",
    text: "n_eff of each run, over all of its chains.",
    x: context.x,
    y: { title: "n_eff", ...(wide ? { log: true } : { zero: true }) },
    series: [
      {
        tone: "teal",
        mark: "circle",
        points: rows.map((row) => ({
          x: row.lr,
          y: row.nEff,
          hollow: isTentative(row),
          href: hrefOf(context, row),
          note: noteOf(
            context,
            row,
            ["n_eff", shown(row.nEff, 4)],
            ["τ", isNumber(row.tau) ? `${shown(row.tau)} snapshots` : "–"],
            ["chains", isNumber(row.chains) ? String(row.chains) : "–"],
          ),
        })),
      },
    ],
  };
}

function chains(context) {
  const rows = context.rows.filter((row) => isNumber(row.rhat));
  return {
    title: "R-hat of the slow modes",
    text: "Split R-hat, over the chains where a run has several; 1 when all parts agree.",
    x: context.x,
    y: { title: "R-hat", log: false },
    levels: rows.length ? [{ y: 1.01, text: "1.01" }] : [],
    series: [
      {
        tone: "purple",
        mark: "circle",
        points: rows.map((row) => ({
          x: row.lr,
          y: row.rhat,
          hollow: isTentative(row),
          href: hrefOf(context, row),
          note: noteOf(
            context,
            row,
            ["R-hat", row.rhat.toFixed(4)],
            ["chains", isNumber(row.chains) ? String(row.chains) : "1"],
            ["n_eff", shown(row.nEff, 4)],
          ),
        })),
      },
    ],
  };
}
