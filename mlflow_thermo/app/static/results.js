// Results of runs in one form, whether an analysis has written them or the run itself. A result.json is a file that
// anyone may have put there, so that every field is checked before it is used.

import { isNumber } from "./numbers.js";
import { isCutOff } from "./studies.js";

/** Half-width of a normal 95 % interval, in standard errors. */
const NORMAL_95 = 1.959964;

const number = (value) => (isNumber(value) ? value : null);
const text = (value, most = 2000) => (typeof value === "string" ? value.slice(0, most) : "");
const list = (value) => (Array.isArray(value) ? value : []);
const record = (value) => (value !== null && typeof value === "object" && !Array.isArray(value) ? value : {});

/** A number with its standard error and the ends of its 95 % interval; null where there is none. */
function estimate(get, name) {
  const value = number(get(name));
  if (value === null) return null;
  const stderr = number(get(`${name}_stderr`));
  const half = stderr === null ? null : NORMAL_95 * stderr;
  return {
    value,
    stderr,
    low: number(get(`${name}_lower`)) ?? (half === null ? null : value - half),
    high: number(get(`${name}_upper`)) ?? (half === null ? null : value + half),
  };
}

function rowBy(get) {
  const names = [
    "loss",
    "entropy",
    "temperature",
    "virial_temperature",
    "noise_temperature",
    "paper_temperature",
    "equipartition_temperature",
  ];
  return {
    ...Object.fromEntries(names.map((name) => [name, estimate(get, name)])),
    nEff: number(get("n_eff")),
    tau: number(get("tau")),
    setTemperature: number(get("set_temperature")),
  };
}

/** The row of a run in a result.json. */
function analysedRow(raw) {
  const run = record(raw);
  const evidence = record(run.evidence);
  const signal = record(run.signal);
  const [snr, errors] = [list(signal.snr), list(signal.snr_stderr)];
  const equipartition = { equipartition_temperature_stderr: run.equipartition_stderr };
  return {
    ...rowBy((name) => equipartition[name] ?? run[name]),
    runId: text(run.run_id, 64),
    lr: number(run.lr),
    seed: number(run.seed),
    status: text(run.status, 64),
    regime: text(run.regime, 64),
    remark: text(run.note),
    rhat: number(evidence.split_rhat),
    chains: number(evidence.chains),
    signal: list(signal.steps)
      .map((step, i) => ({ step: number(step), snr: number(snr[i]), stderr: number(errors[i]) }))
      .filter((one) => one.step !== null && one.snr !== null),
    analysed: true,
  };
}

/** The row of a run that no analysis of the study holds, from what it says itself. */
export function ownRow(run) {
  const metric = (name) => run.metrics[`thermo/${name}`]?.value;
  const given = (name) => (run.params[name] ? number(Number(run.params[name])) : null);
  return {
    ...rowBy(metric),
    runId: run.run_id,
    lr: number(metric("set_temperature")) ?? number(metric("lr")) ?? given("lr"),
    seed: given("seed"),
    status: text(run.tags["thermo.status"], 64) || (isCutOff(run) ? "incomplete" : ""),
    regime: text(run.tags["thermo.regime"], 64),
    remark: "",
    rhat: null,
    chains: given("chains"),
    signal: [],
    analysed: false,
  };
}

/** The content of a result.json; an error in words where it is none that this page reads. */
export function studyOf(raw) {
  const found = record(raw);
  if (!Array.isArray(found.runs)) throw new Error("Its result.json is not that of a study: analyse the runs again.");
  const law = record(found.power_law);
  const checks = record(found.checks);
  return {
    rows: found.runs.map(analysedRow),
    law: isNumber(law.exponent) && isNumber(law.prefactor) && isNumber(law.lr_min) && isNumber(law.lr_max) ? law : null,
    estimator: record(found.estimator),
    method: text(found.method, 64),
    notes: list(found.notes)
      .map((one) => text(one))
      .filter(Boolean),
    checks,
    baselines: record(found.baselines),
    boundaries: ["to_stationary", "to_uniform"]
      .map((name) => record(record(checks.branches)[name]))
      .filter((one) => isNumber(one.lower) && isNumber(one.upper))
      .map((one) => ({ low: one.lower, high: one.upper })),
  };
}

/** Whether the runs are Gibbs states at set temperatures, which stand in the place of learning rates. */
export const isGibbs = (rows) => rows.length > 0 && rows.every((row) => row.setTemperature !== null);

/** Mean loss, entropy and temperature of each learning rate where all three exist and T is positive. */
export function states(rows) {
  const byRate = new Map();
  for (const row of rows) {
    if (row.lr > 0 && row.loss && row.entropy && row.temperature?.value > 0) {
      byRate.set(row.lr, [...(byRate.get(row.lr) ?? []), row]);
    }
  }
  const mean = (of, name) => of.reduce((sum, row) => sum + row[name].value, 0) / of.length;
  return [...byRate]
    .sort((a, b) => a[0] - b[0])
    .map(([lr, of]) => ({
      lr,
      loss: mean(of, "loss"),
      entropy: mean(of, "entropy"),
      temperature: mean(of, "temperature"),
    }));
}

/** F(lr'; T(lr)) = U(lr') − T(lr)·S(lr') of each state, from its minimum 0 to its maximum 1. */
export function freeEnergies(found) {
  return found.map((own) => {
    const free = found.map((state) => state.loss - own.temperature * state.entropy);
    const low = Math.min(...free);
    const spread = Math.max(...free) - low || 1;
    return { lr: own.lr, curve: free.map((value, i) => ({ lr: found[i].lr, value: (value - low) / spread })) };
  });
}
