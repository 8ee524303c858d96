// The page: which experiment and which of its studies is shown, and when it is renewed.

import { chart } from "./chart.js";
import { address, el, link } from "./dom.js";
import { figures } from "./figures.js";
import { spell } from "./numbers.js";
import { ownRow, studyOf } from "./results.js";
import { experiments, histories, remedies, resultOf, runsOf } from "./server.js";
import { isRunning, labelOf, nearNames, studiesOf } from "./studies.js";
import { cutOff, facts, links, live, notAnalysed, nothingTrained, statuses, table } from "./words.js";

/** Seconds between two renewals: while something runs, and else. A slow server is asked less often. */
const SOON = 5;
const LATER = 60;
/** Runs whose losses are drawn. */
const MOST_COURSES = 60;

const part = (id) => document.getElementById(id);
const known = { experiments: [], remedies: {}, results: new Map(), losses: new Map(), drawn: new Map() };
let shownNow = null;
let timer = 0;
let turn = 0;

/** What the address asks for. */
const asked = () => {
  const query = new URLSearchParams(window.location.search);
  return { name: query.get("experiment"), id: query.get("experiment_id"), scope: query.get("runs") };
};

function go(query) {
  window.history.pushState(null, "", address("./", query));
  start();
}

/** Puts content into a section, and hides one that has none. */
function put(id, ...content) {
  const there = content.flat().filter(Boolean);
  part(id).replaceChildren(...there);
  part(id).hidden = !there.length;
}

/** Says how things stand: `urgent` in red, `quiet` to screen readers alone, which the page itself shows to others. */
function say(text, tone = "") {
  // A text that has not changed is not said again.
  if (part("state").textContent !== text) part("state").textContent = text;
  part("state").className = { urgent: "urgent", quiet: "visually-hidden" }[tone] ?? "";
}

function clear() {
  for (const id of ["live", "summary", "charts", "runs", "statuses"]) put(id);
  known.drawn.clear();
  part("study-choice").hidden = true;
}

function listExperiments() {
  const select = part("experiment");
  const options = known.experiments.map((one) => el("option", { value: one.id }, one.name));
  select.replaceChildren(el("option", { value: "" }, "Choose an experiment"), ...options);
  select.value = shownNow?.id ?? "";
}

/** What there is to choose from, where the address names nothing, or nothing that exists. */
function offer(name, what = JSON.stringify(name)) {
  clear();
  document.title = "Thermodynamics";
  const near = name
    ? nearNames(
        name,
        known.experiments.map((one) => one.name),
      )
    : [];
  const listed = name ? near : known.experiments.slice(0, 30).map((one) => one.name);
  const updated = new Map(known.experiments.map((one) => [one.name, one.updated]));
  say(name ? `There is no experiment ${what} that you may read.` : "");
  const heading = name ? (near.length ? "Did you mean" : "Choose one above") : "Experiments";
  const items = listed.map((one) => {
    const age = (Date.now() - updated.get(one)) / 1000;
    return el(
      "li",
      {},
      link("./", { experiment: one }, {}, one),
      age > 0 ? el("small", {}, `changed ${spell(age)} ago`) : null,
    );
  });
  put(
    "summary",
    el("h2", {}, heading),
    items.length ? el("ul", { class: "names" }, items) : null,
    known.experiments.length ? null : el("p", {}, "There are no experiments that you may read: train some runs first."),
  );
}

/** Shows what the address asks for. */
async function start() {
  const mine = (turn += 1);
  window.clearTimeout(timer);
  part("main").setAttribute("aria-busy", "true");
  say("Loading …");
  try {
    const [found, words] = await Promise.all([experiments(), remedies()]);
    if (mine !== turn) return;
    Object.assign(known, { experiments: found, remedies: words });
    const { name, id } = asked();
    shownNow = found.find((one) => (id ? one.id === id : one.name === name)) ?? null;
    listExperiments();
    if (shownNow) {
      clear();
      document.title = `${shownNow.name} – Thermodynamics`;
      await renew();
    } else {
      offer(id ?? name, id ? `with the id ${id}` : undefined);
    }
  } catch (error) {
    if (mine === turn) say(error.message, "urgent");
  } finally {
    part("main").setAttribute("aria-busy", "false");
  }
}

/** Asks the server again and shows what has changed; then waits for the next time. */
async function renew() {
  const mine = turn;
  const experiment = shownNow;
  const begun = Date.now();
  let running = false;
  try {
    const found = studiesOf(await runsOf(experiment.id));
    if (mine !== turn) return;
    running = found.some((one) => one.runs.some(isRunning));
    await show(experiment, found, mine);
    if (mine !== turn) return;
    part("renewed").textContent = `Renewed at ${new Date().toLocaleTimeString()}`;
  } catch (error) {
    if (mine !== turn) return;
    say(error.message, "urgent");
  }
  const pause = Math.max(running ? SOON : LATER, (20 * (Date.now() - begun)) / 1000);
  timer = window.setTimeout(() => (document.hidden ? null : renew()), pause * 1000);
}

async function show(experiment, found, mine) {
  if (!found.length) {
    clear();
    say("");
    put("summary", nothingTrained(experiment.name));
    return;
  }
  const study = found.find((one) => one.scope === asked().scope) ?? found[0];
  listStudies(found, study);
  const [result, trouble] = await analysed(study.analysis);
  await loadLosses(study.runs.slice(0, MOST_COURSES));
  if (mine !== turn) return;
  const inResult = new Set(result?.rows.map((row) => row.runId));
  const missing = study.runs.filter((run) => !inResult.has(run.run_id));
  const rows = [...(result?.rows ?? []), ...missing.map(ownRow)].sort((a, b) => a.lr - b.lr || a.seed - b.seed);
  const names = new Map(study.runs.map((run) => [run.run_id, run.run_name]));
  const waiting = missing.filter((run) => !isRunning(run)).length;
  const ended = study.runs.filter((run) => !isRunning(run)).length;
  say(trouble || `${ended} of ${study.runs.length} runs have ended.`, trouble ? "urgent" : "quiet");
  put("live", live(experiment.id, experiment.name, study, Date.now()));
  put(
    "summary",
    result
      ? [el("h2", { class: "visually-hidden" }, "Result"), facts(result, rows), links(experiment.id, study.analysis)]
      : null,
    result?.notes.length
      ? el(
          "ul",
          { class: "notes" },
          result.notes.map((one) => el("li", {}, `${one[0].toUpperCase()}${one.slice(1)}.`)),
        )
      : null,
    cutOff(study),
    !study.analysis || waiting ? notAnalysed(experiment.name, study, waiting) : null,
  );
  draw(
    figures({
      experimentId: experiment.id,
      rows,
      study: result,
      losses: known.losses,
      names,
      running: ended < study.runs.length,
    }),
  );
  // What runs and has no numbers yet is in the list above.
  const active = new Set(study.runs.filter(isRunning).map((run) => run.run_id));
  const settled = rows.filter((row) => row.loss || !active.has(row.runId));
  put("runs", settled.length ? [el("h2", {}, "Runs"), table(experiment.id, settled, names)] : []);
  const listed = statuses(rows, known.remedies);
  put("statuses", listed && el("h2", {}, "Statuses, and what to do"), listed);
}

function listStudies(found, study) {
  const select = part("study");
  const options = found.map((one) => [one.scope, labelOf(one)]);
  if (JSON.stringify(options) !== select.dataset.options) {
    select.replaceChildren(...options.map(([value, text]) => el("option", { value }, text)));
    select.dataset.options = JSON.stringify(options);
  }
  select.value = study.scope;
  part("study-choice").hidden = false;
}

/** The result of an analysis, and in words what is wrong with it. */
async function analysed(run) {
  if (!run) return [null, ""];
  const version = `${run.run_id} ${run.status} ${run.end_time}`;
  if (!known.results.has(version)) {
    let found = [null, isRunning(run) ? "" : "The analysis holds no result.json: analyse the runs again."];
    try {
      const raw = await resultOf(run.run_id);
      if (raw !== null) found = [studyOf(raw), ""];
    } catch (error) {
      found = [null, error.message];
    }
    // Half a result is asked for again.
    if (found[0]) known.results.set(version, found);
    return found;
  }
  return known.results.get(version);
}

/** The losses of runs that go on, and of those that are not here yet. */
async function loadLosses(runs) {
  const wanted = runs.filter((run) => isRunning(run) || known.losses.get(run.run_id)?.final !== run.status);
  const found = await histories(
    wanted.map((run) => run.run_id),
    "train/loss",
  );
  for (const run of wanted) {
    known.losses.set(run.run_id, Object.assign(found.get(run.run_id) ?? [], { final: run.status }));
  }
}

/** Draws the charts that have changed; one that is being looked at stays until the next time. */
function draw(specs) {
  for (const [name, spec] of Object.entries(specs)) {
    const content = JSON.stringify(spec);
    const there = known.drawn.get(name);
    if (there?.content === content || there?.figure.matches(":hover, :focus-within")) continue;
    const figure = Object.assign(chart(spec), { id: `chart-${name}` });
    known.drawn.set(name, { content, figure });
  }
  const kept = Object.keys(specs).map((name) => known.drawn.get(name).figure);
  const grid = part("charts");
  if (kept.length !== grid.children.length || kept.some((figure, i) => grid.children[i] !== figure))
    grid.replaceChildren(...kept);
  grid.hidden = !kept.length;
}

part("experiment").addEventListener("change", (event) => {
  const one = known.experiments.find((experiment) => experiment.id === event.target.value);
  go(one ? { experiment: one.name } : {});
});
part("study").addEventListener("change", (event) => go({ experiment: shownNow.name, runs: event.target.value }));
window.addEventListener("popstate", start);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && shownNow) {
    window.clearTimeout(timer);
    renew();
  }
});
start();
