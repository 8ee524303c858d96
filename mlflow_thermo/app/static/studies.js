// What an experiment holds: its sweeps and its analyses, put together to studies, and how far their runs are.

import { isNumber } from "./numbers.js";

/** Seconds without a sign of life until a program counts as gone. */
const SILENCE = 1800;
const NO_TRAINING = ["sweep", "analysis", "calibration", "paper", "toy", "resume"];

const kindOf = (run) => run.tags["thermo.kind"] ?? "";
const sweepOf = (run) => run.tags["thermo.sweep"] ?? "";
/** Runs of other tools are none of ours. */
const isTraining = (run) =>
  !NO_TRAINING.includes(kindOf(run)) && (kindOf(run) === "train" || Boolean(run.tags["thermo.snapshots"]));

export const isRunning = (run) => run.status === "RUNNING" || run.status === "SCHEDULED";

export const isCutOff = (run) => run.status === "KILLED" || run.status === "FAILED";

/** The studies of an experiment, the newest first, each with its training runs and its newest analysis. */
export function studiesOf({ runs, analyses }) {
  const training = runs.filter(isTraining);
  const found = new Map();
  const study = (scope) => {
    if (!found.has(scope)) found.set(scope, { scope, runs: [], analysis: null, time: 0 });
    return found.get(scope);
  };
  for (const run of training) study(sweepOf(run) ? `sweep ${sweepOf(run)}` : "all runs").runs.push(run);
  // The scope is the last tag that a complete analysis gets.
  for (const run of analyses) {
    const scope = run.tags["thermo.scope"];
    if (!scope) continue;
    const one = study(scope);
    if (!one.analysis || run.start_time > one.analysis.start_time) one.analysis = run;
    if (scope === "all runs") one.runs = training;
  }
  for (const one of found.values()) {
    const times = [
      ...one.runs.map((run) => run.start_time ?? 0),
      one.analysis?.end_time ?? one.analysis?.start_time ?? 0,
    ];
    one.time = Math.max(0, ...times);
  }
  return [...found.values()].sort((a, b) => b.time - a.time);
}

/** A study's name for a list: what was selected, and how far it is. */
export function labelOf(study) {
  const running = study.runs.filter(isRunning).length;
  const name = study.scope.replace(/^(sweep|filter) /, (kind) => `${kind[0].toUpperCase()}${kind.slice(1)}`);
  const state = running ? `${running} running` : study.analysis ? "analysed" : "not analysed";
  return `${name[0].toUpperCase()}${name.slice(1)} (${state})`;
}

/** How far a run is: `fraction` from 0 to 1, or null where nobody can tell, and the same in words. */
export function progressOf(run, now) {
  const metric = (name) => run.metrics[name]?.value;
  const step = run.metrics["train/loss"]?.step;
  const [have, need] = [metric("sampling/n_eff"), metric("sampling/n_eff_needed")];
  // A run that goes on until it has enough says how much it has when it ends.
  const open = !["", "0", "None"].includes(run.params.until ?? "");
  const steps = Number(open ? run.params.max_steps : run.params.steps);
  const parts = [];
  let fraction = null;
  if (isNumber(step)) parts.push(`step ${step.toLocaleString("en")}`);
  if (isNumber(have) && need > 0) {
    fraction = Math.min(1, have / need);
    parts.push(
      `${Math.round(have).toLocaleString("en")} of ${Math.round(need).toLocaleString("en")} independent snapshots`,
    );
  } else if (isNumber(step) && steps > 0) {
    fraction = open ? null : Math.min(1, step / steps);
    parts[0] += ` of ${open ? "at most " : ""}${steps.toLocaleString("en")}`;
  }
  if (!isRunning(run)) fraction = run.status === "FINISHED" ? 1 : fraction;
  const sign = Number((run.tags["thermo.alive"] ?? "").split(" ")[3]);
  const silent = isRunning(run) && sign > 0 && now / 1000 - sign > SILENCE ? now / 1000 - sign : 0;
  return { fraction, words: parts.join(", "), silent };
}

/** The names that are nearest to one that does not exist. */
export function nearNames(asked, names, most = 5) {
  const wanted = asked.toLowerCase();
  const scored = names.map((name) => {
    const has = name.toLowerCase();
    const part = wanted.length > 1 && (has.includes(wanted) || wanted.includes(has)) && has.length > 1;
    return {
      name,
      far: part ? 0 : distance(wanted.slice(0, 60), has.slice(0, 60)) / Math.max(wanted.length, has.length, 1),
    };
  });
  return scored
    .filter((one) => one.far <= 0.5)
    .sort((a, b) => a.far - b.far)
    .slice(0, most)
    .map((one) => one.name);
}

/** Letters to insert, leave out or change to come from one word to the other. */
function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
