// What the page asks of the server: MLflow's own routes, and the two searches that MLflow offers by POST alone.
// Every address is relative, so that static prefixes and proxies change nothing.

import { address } from "./dom.js";

const API = "../ajax-api/2.0/mlflow/";
/** Largest result.json that is read, in bytes: a thousand runs have some 10 MB. */
const LARGEST = 64e6;

/** What a person can do about a failed request. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function get(path, query) {
  let answer;
  try {
    answer = await fetch(address(path, query), { headers: { Accept: "application/json" }, cache: "no-store" });
  } catch {
    throw new Refused(
      "The server does not answer: look whether it is running, and whether this device has a network.",
      0,
    );
  }
  if (answer.status === 401) throw new Refused("You are not logged in: load the page again.", 401);
  if (answer.status === 403) throw new Refused("You may not read this: ask an administrator of this server.", 403);
  if (!answer.ok) throw new Refused(`The server answers with an error (${answer.status}).`, answer.status);
  try {
    return await answer.json();
  } catch {
    throw new Refused("The server's answer cannot be read.", answer.status);
  }
}

/** All experiments that the user may read, the newest first. */
export async function experiments() {
  const found = [];
  let token = "";
  do {
    const query = { max_results: 1000, order_by: "last_update_time DESC" };
    const page = await get(`${API}experiments/search`, token ? { ...query, page_token: token } : query);
    found.push(...(page.experiments ?? []));
    token = page.next_page_token;
  } while (token && found.length < 20000);
  return found.map((one) => ({
    id: String(one.experiment_id),
    name: String(one.name),
    updated: Number(one.last_update_time),
  }));
}

/** The newest runs of an experiment and its analyses, both the newest first. */
export async function runsOf(experimentId) {
  const query = { experiment_id: experimentId };
  const [runs, analyses] = await Promise.all([get("runs", query), get("analyses", query)]);
  return { runs: runs.runs, analyses: analyses.runs, more: runs.more };
}

/** The result of an analysis; null where its run holds none, as while it is being made. */
export async function resultOf(runId) {
  const listed = await get(`${API}artifacts/list`, { run_id: runId });
  const file = (listed.files ?? []).find((one) => one.path === "result.json" && !one.is_dir);
  if (!file) return null;
  if (Number(file.file_size) > LARGEST) throw new Refused("The result of this analysis is too large for a browser.", 0);
  return get("../get-artifact", { path: "result.json", run_uuid: runId });
}

/** The values of a metric of each run, by step, thinned out to some 200. */
export async function histories(runIds, metric) {
  const found = new Map();
  for (let i = 0; i < runIds.length; i += 50) {
    const query = new URLSearchParams({ metric_key: metric, max_results: 200 });
    for (const id of runIds.slice(i, i + 50)) query.append("run_ids", id);
    const answer = await get(`${API}metrics/get-history-bulk-interval?${query}`);
    for (const one of answer.metrics ?? []) {
      const values = found.get(one.run_id) ?? new Map();
      values.set(Number(one.step), Number(one.value));
      found.set(one.run_id, values);
    }
  }
  return new Map([...found].map(([id, values]) => [id, [...values].sort((a, b) => a[0] - b[0])]));
}

/** The remedies of all statuses. */
export const remedies = () => get("remedies.json");
