// What the page says besides its charts: the result in a few facts, the runs as a table, statuses with their remedies,
// trainings that go on, and what to do where there is nothing to show yet.

import { el, link, quoted, runPage } from "./dom.js";
import { isNumber, shown, spell, withError } from "./numbers.js";
import { said } from "./points.js";
import { isGibbs } from "./results.js";
import { isCutOff, isRunning, progressOf } from "./studies.js";

const BAD = ["diverged", "corrupt", "inconsistent-record", "empty"];
/** The saved view that an analysis puts on its experiment. */
const SAVED_VIEW = "viewStateShareKey=thermodynamics&compareRunsMode=CHART&workflowType=machine_learning";
/** Trainings that are listed one by one. */
const MOST_LISTED = 40;

/** A status as a badge: sign and word, so that it does not depend on colours. */
export function badge(status) {
  const kind = status === "ok" ? "good" : !status ? "none" : BAD.includes(status) ? "bad" : "fair";
  const sign = { good: "✓", fair: "!", bad: "✕", none: "·" }[kind];
  return el(
    "span",
    { class: `badge ${kind}` },
    el("span", { "aria-hidden": "true" }, sign),
    ` ${status || "not analysed"}`,
  );
}

function fact(name, value, more) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value, more ? el("small", {}, more) : null));
}

/** The result of a study in a few facts. */
export function facts(study, rows) {
  const { law, checks, estimator } = study;
  const axis = isGibbs(rows) ? "T set" : "lr";
  const sound = rows.filter((row) => row.status === "ok").length;
  const found = [fact("Runs with the status ok", `${sound} of ${rows.length}`)];
  if (law) {
    const power = el("sup", {}, withError(law.exponent, law.exponent_stderr));
    const range = `${axis} from ${shown(law.lr_min)} to ${shown(law.lr_max)}`;
    found.push(fact("Power law", [`T ∝ ${axis}`, power], range));
  }
  const p = checks.convexity_p_value;
  if (isNumber(p)) {
    found.push(
      fact(
        "Is F minimised?",
        p < 0.05 ? "contradicted" : "not contradicted",
        `U convex and rising in S: p = ${p.toFixed(3)}`,
      ),
    );
  }
  const left = checks.leave_one_out;
  if (isNumber(left?.n) && isNumber(left?.n_violated)) {
    found.push(
      fact(
        "Minima where they belong",
        `${left.n - left.n_violated} of ${left.n}`,
        "each judged at the temperature of the others",
      ),
    );
  }
  const known = checks.identifiability;
  if (known) {
    const by = isNumber(known.disagreement)
      ? `three assumptions differ by ${Math.round(100 * known.disagreement)} %`
      : "";
    found.push(fact("Is the entropy identified?", known.status === "ok" ? "yes" : "no", by));
  }
  if (isNumber(checks.consistency)) found.push(fact("∫ dU/T over S", shown(checks.consistency), "1 is consistent"));
  if (typeof estimator.name === "string") {
    const size = [
      isNumber(estimator.dim) ? `D = ${estimator.dim}` : "",
      isNumber(estimator.n_used) ? `${estimator.n_used} snapshots` : "",
    ];
    found.push(fact("Entropy by", estimator.name.slice(0, 60), size.filter(Boolean).join(", ")));
  }
  return el("dl", { class: "facts" }, found);
}

/** Where the rest of a study is: its report, its run, and the charts in MLflow. */
export function links(experimentId, analysis) {
  return el(
    "ul",
    { class: "links" },
    [
      [runPage(experimentId, analysis.run_id, "report.html"), "Full report"],
      [runPage(experimentId, analysis.run_id), "Analysis run"],
      [`../#/experiments/${encodeURIComponent(experimentId)}/runs?${SAVED_VIEW}`, "Charts in MLflow"],
    ].map(([to, text]) => el("li", {}, link(to, null, {}, text))),
  );
}

/** The runs as a table, which becomes a list of cards on a narrow screen. */
export function table(experimentId, rows, names) {
  const gibbs = isGibbs(rows);
  // The last word says how much of a card's width a cell takes.
  const columns = [
    [
      "Run",
      (row) => link(runPage(experimentId, row.runId), null, {}, names.get(row.runId) ?? row.runId.slice(0, 8)),
      "full",
    ],
    [gibbs ? "T set" : "lr", (row) => shown(row.lr, 4)],
    ["Seed", (row) => (isNumber(row.seed) ? String(row.seed) : "–")],
    ["U", (row) => said(row.loss), "half"],
    ["S (nats)", (row) => said(row.entropy), "half"],
    ["T (loss per nat)", (row) => temperatureCell(row.temperature), "half"],
    ["n_eff", (row) => shown(row.nEff)],
    ["R-hat", (row) => (isNumber(row.rhat) ? row.rhat.toFixed(3) : "–")],
    ["Regime", (row) => row.regime || "–", "half"],
    ["Status", (row) => [badge(row.status), row.remark ? el("small", {}, row.remark) : null], "half"],
  ];
  // A list of cards is laid out as blocks, which are no table to a screen reader unless each part says so.
  const head = el(
    "tr",
    { role: "row" },
    columns.map(([name]) => el("th", { scope: "col", role: "columnheader" }, name)),
  );
  const body = rows.map((row) =>
    el(
      "tr",
      { role: "row" },
      columns.map(([name, cell, width]) => el("td", { role: "cell", "data-name": name, class: width }, cell(row))),
    ),
  );
  return el(
    "div",
    { class: "wide", tabindex: "0", role: "region", "aria-label": "Runs" },
    el("table", { role: "table" }, el("thead", { role: "rowgroup" }, head), el("tbody", { role: "rowgroup" }, body)),
  );
}

function temperatureCell(found) {
  if (!found) return "–";
  const written = (value) => shown(value, 3, 0.01, true);
  if (!isNumber(found.low) || !isNumber(found.high)) return written(found.value);
  return [written(found.value), el("small", {}, `${written(found.low)} to ${written(found.high)}`)];
}

/** Each status that the runs have, with what to do about it. */
export function statuses(rows, remedies) {
  const counts = new Map();
  for (const row of rows) if (row.status) counts.set(row.status, (counts.get(row.status) ?? 0) + 1);
  if (!counts.size) return null;
  const order = [...counts].sort((a, b) => (a[0] === "ok") - (b[0] === "ok") || b[1] - a[1]);
  return el(
    "dl",
    { class: "statuses" },
    order.map(([status, count]) => {
      const remedy =
        typeof remedies[status] === "string"
          ? remedies[status]
          : "This page does not know this status: see the report.";
      const words =
        status === "ok" ? "Its numbers can be relied on." : `${remedy[0]?.toUpperCase() ?? ""}${remedy.slice(1)}.`;
      return el(
        "div",
        {},
        el("dt", {}, badge(status), ` ${count} ${count === 1 ? "run" : "runs"}`),
        el("dd", {}, words),
      );
    }),
  );
}

/** Trainings of a study that go on, each with how far it is; null where none does. */
export function live(experimentId, experiment, study, now) {
  const running = study.runs.filter(isRunning);
  if (!running.length) return null;
  const ended = study.runs.length - running.length;
  const byRate = (run) => Number(run.metrics["thermo/lr"]?.value ?? run.params.lr);
  const listed = [...running].sort((a, b) => byRate(a) - byRate(b)).slice(0, MOST_LISTED);
  const silent = running.map((run) => progressOf(run, now).silent).filter(Boolean);
  return el(
    "div",
    { class: "live" },
    el(
      "h2",
      {},
      el("span", { class: "pulse", "aria-hidden": "true" }),
      `Training: ${ended} of ${study.runs.length} runs have ended`,
    ),
    el("p", {}, "This page renews itself."),
    silent.length
      ? el(
          "p",
          { class: "warning" },
          `${silent.length} of them ${silent.length === 1 ? "has" : "have"} given no sign of life for `,
          `${spell(Math.min(...silent))}: if the program was killed, close its runs with `,
          el("code", {}, `mlflow-thermo doctor ${quoted(experiment)} --fix`),
        )
      : null,
    el(
      "ul",
      { class: "progress" },
      listed.map((run) => progress(experimentId, run, now)),
    ),
    running.length > listed.length ? el("p", {}, `and ${running.length - listed.length} more`) : null,
  );
}

function progress(experimentId, run, now) {
  const { fraction, words } = progressOf(run, now);
  const lr = run.metrics["thermo/lr"]?.value ?? Number(run.params.lr);
  const loss = run.metrics["train/loss"]?.value;
  const name = isNumber(lr) ? `lr ${shown(lr, 4)}` : run.run_name;
  const state = [words || "starting", isNumber(loss) ? `loss ${shown(loss, 4)}` : ""].filter(Boolean).join(" · ");
  return el(
    "li",
    {},
    link(runPage(experimentId, run.run_id), null, {}, name, run.params.seed ? `, seed ${run.params.seed}` : ""),
    el("progress", {
      max: "1",
      value: fraction === null ? undefined : fraction.toFixed(4),
      "aria-label": `${name}: ${state}`,
    }),
    el("span", { class: "words" }, state),
  );
}

/** Commands, a line each. */
const commands = (...lines) => el("pre", { tabindex: "0", "aria-label": "Commands" }, el("code", {}, lines.join("\n")));

const server = () => new URL("..", window.location.href).href.replace(/\/$/, "");

/** What to run where an experiment has no training runs yet. */
export function nothingTrained(experiment) {
  return el(
    "div",
    { class: "empty" },
    el("h2", {}, "No runs with snapshots yet"),
    el("p", {}, "Train one run for each learning rate, then analyse them. In a folder with the project:"),
    commands(
      `export MLFLOW_TRACKING_URI=${quoted(server())}`,
      `mlflow run . -e sweep --experiment-name ${quoted(experiment)}`,
      `mlflow-thermo analyze --experiment ${quoted(experiment)}`,
    ),
    el("p", {}, "Loops of your own record themselves with a SnapshotRecorder."),
  );
}

/** What to run where the runs of a study, or some of them, are not analysed. */
export function notAnalysed(experiment, study, missing) {
  const trained = study.runs.some((run) => !isRunning(run));
  const selected = study.scope.startsWith("sweep ") ? ` --sweep ${quoted(study.scope.slice(6))}` : "";
  const words = study.analysis
    ? `${missing} ${missing === 1 ? "run is" : "runs are"} not in the analysis. To renew it:`
    : `T and F need an analysis of all learning rates together. ${trained ? "To make it:" : "As soon as runs have ended:"}`;
  return el(
    "div",
    { class: "empty" },
    study.analysis ? null : el("h2", {}, "Not analysed yet"),
    el("p", {}, words),
    commands(`mlflow-thermo analyze --tracking-uri ${quoted(server())} --experiment ${quoted(experiment)}${selected}`),
  );
}

/** What to run where trainings of a sweep were cut off; null where none was. */
export function cutOff(study) {
  const count = study.runs.filter(isCutOff).length;
  if (!count || !study.scope.startsWith("sweep ")) return null;
  return el(
    "div",
    { class: "empty" },
    el("p", {}, `${count} ${count === 1 ? "run was" : "runs were"} cut off. To train what is missing, where it began:`),
    commands(`mlflow run . -e sweep -P resume=${quoted(study.scope.slice(6))}`),
  );
}
