"""The page inside MLflow's server, in a real browser: desktop and phone, light and dark, mouse, finger and keys."""

import json
import re
import time

import pytest
from mlflow.entities import Metric

from mlflow_thermo import schema
from tests.browser import EVIL, needs_chromium, unharmed
from tests.end_to_end.studies import PHONE, log_course

pytestmark = [pytest.mark.slow, needs_chromium, pytest.mark.xdist_group("page")]

CHARTS = {"temperature", "loss", "entropy", "slope", "free-energy", "signal", "samples", "chains", "course"}


def at_point(page, chart, number):
    """The middle of a mark of a chart, in pixels of the page."""
    mark = page.locator(f"#chart-{chart} .mark").nth(number)
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_study_on_a_desktop(shown, visit):
    page = visit(shown.address)
    page.wait_for_selector("#chart-course .line")
    assert {figure.get_attribute("id") for figure in page.locator("figure").all()} == {f"chart-{c}" for c in CHARTS}
    runs = shown.result.runs
    assert page.locator("#chart-temperature .tone-teal .mark").count() >= len(runs)
    assert page.locator("#chart-loss .bar").count() == len(runs)
    assert page.locator("#chart-signal path.line").count() >= len(runs)
    law = shown.result.power_law
    assert f"T ∝ lr{law.exponent:.2f}"[:9] in page.locator(".facts").inner_text()
    # The table has the numbers of the result, and a link to each run in MLflow.
    rows = page.locator("tbody tr")
    assert rows.count() == len(runs)
    for row, run in zip(rows.all(), runs, strict=True):
        link = row.get_by_role("link")
        assert link.inner_text() == f"run of {run.lr:.3g}"
        assert f"#/experiments/{shown.experiment_id}/runs/{run.run_id}?" in link.get_attribute("href")
        assert run.status in row.inner_text()
        entropy, error = row.locator("[data-name='S (nats)']").inner_text().replace("−", "-").split(" ± ")
        assert float(entropy) == pytest.approx(run.entropy.value, abs=0.1 * run.entropy.stderr)
        assert float(error) == pytest.approx(run.entropy.stderr, rel=0.1)


def test_what_a_point_is(shown, visit):
    """By the mouse, which a click holds, and by the keys."""
    page = visit(shown.address)
    note = page.locator("#chart-temperature .note")
    run = shown.result.runs[3]
    at = at_point(page, "temperature", 3)
    page.mouse.move(*at)
    words = note.inner_text()
    for part in (f"run of {run.lr:.3g}", f"{run.lr:.4g}", "seed", run.status):
        assert part in words
    assert re.search(r"T = dU/dS\s+[\d.×⁻⁰-⁹]+\s+95 % interval\s+[\d.×⁻⁰-⁹]+ to [\d.×⁻⁰-⁹]+\s", words)
    page.mouse.move(5, 5)
    assert not note.is_visible()
    page.mouse.click(*at)
    page.mouse.move(5, 5)
    assert note.get_by_role("link").get_attribute("href").endswith(f"/runs/{run.run_id}?workflowType=machine_learning")
    page.keyboard.press("Escape")
    assert not note.is_visible()
    plot = page.locator("#chart-loss svg.plot")
    plot.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert f"run of {shown.result.runs[1].lr:.3g}" in page.locator("#chart-loss .note").inner_text()
    assert re.match(r"U: training loss\. .* 9 points: the arrow keys", plot.get_attribute("aria-label"))


def test_a_phone(shown, visit):
    page = visit(shown.address, **PHONE)
    page.wait_for_selector("#chart-course .line")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    at = at_point(page, "entropy", 8)
    page.touchscreen.tap(*at)
    box = page.locator("#chart-entropy .note").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    assert f"run of {shown.result.runs[8].lr:.3g}" in page.locator("#chart-entropy .note").inner_text()
    # Every cell of a card says what it is.
    assert page.locator("tbody tr").first.evaluate("row => getComputedStyle(row).display") == "grid"
    assert page.locator("td[data-name='S (nats)']").count() == 9
    assert len(page.screenshot()) > 10_000


def contrast(page, selector):
    """Contrast of a text with the paper it is on, by WCAG's formula."""
    return page.evaluate(
        """selector => {
          const light = (color) => {
            const parts = color.match(/[\\d.]+/g).slice(0, 3).map((one) => Number(one) / 255);
            const [r, g, b] = parts.map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          let node = document.querySelector(selector);
          const ink = light(getComputedStyle(node)[node.namespaceURI.endsWith("svg") ? "fill" : "color"]);
          const behind = () => getComputedStyle(node).backgroundColor;
          while (behind() === "rgba(0, 0, 0, 0)") node = node.parentElement;
          const paper = light(behind());
          return [(Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05), paper];
        }""",
        selector,
    )


def test_light_and_dark_can_be_read(shown, visit):
    papers = []
    for scheme in ("light", "dark"):
        page = visit(shown.address, color_scheme=scheme)
        page.wait_for_selector("tbody .badge")
        for text in (".facts dt", ".facts dd", "td a", ".badge", ".chart p", ".legend li", "text.tick", "text.title"):
            ratio, paper = contrast(page, text)
            assert ratio > 4.5, (scheme, text, ratio)
        papers.append(paper)
    assert papers[0] > 0.8
    assert papers[1] < 0.05


def test_everything_has_a_name(shown, visit):
    page = visit(shown.address)
    page.wait_for_selector("#chart-course .line")
    assert page.get_by_role("combobox", name="Experiment").input_value() == shown.experiment_id
    assert page.get_by_role("combobox", name="Runs").input_value() == "sweep first"
    assert page.get_by_role("table").get_by_role("columnheader").count() == 10
    assert page.get_by_role("main").get_by_role("region").count() >= 4
    assert page.locator("svg.plot:not([aria-label])").count() == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"


def test_a_sweep_that_runs_renews_itself(server, visit):
    client = server.client
    where = client.create_experiment("running")
    runs = {}
    for lr in (0.01, 0.1, 1.0):
        tags = {schema.TAG_KIND: schema.KIND_TRAIN, schema.TAG_SWEEP: "it's", "mlflow.runName": f"run of {lr}"}
        tags[schema.TAG_ALIVE] = f"there 1 2 {int(time.time()) - 4000}"
        runs[lr] = client.create_run(where, tags=tags).info.run_id
        client.log_param(runs[lr], "steps", 1000)
        client.log_param(runs[lr], "lr", lr)
        log_course(client, runs[lr], lr, last=100)
    page = visit(f"{server.uri}/thermo/?experiment=running")
    page.wait_for_selector("#chart-course .line")
    live = page.locator("#live")
    assert "0 of 3 runs have ended" in live.inner_text()
    assert "step 100 of 1,000" in live.inner_text()
    assert "3 of them have given no sign of life for 67 min" in live.inner_text()
    assert [bar.get_attribute("value") for bar in live.get_by_role("progressbar").all()] == ["0.1000"] * 3
    assert """mlflow-thermo analyze --tracking-uri""" in page.locator("#summary").inner_text()
    assert """--sweep 'it'\\''s'""" in page.locator("#summary").inner_text()
    log_course(client, runs[0.1], 0.1, last=500)
    measured = {schema.METRIC_LOSS: 0.5, f"{schema.METRIC_LOSS}_stderr": 0.01, schema.METRIC_ENTROPY: -3.0}
    client.log_batch(runs[1.0], metrics=[Metric(key, value, 0, 0) for key, value in measured.items()])
    client.set_tag(runs[1.0], schema.TAG_STATUS, "too-few-samples")
    client.set_terminated(runs[1.0])
    live.get_by_text("1 of 3 runs have ended").wait_for()
    assert "step 500 of 1,000" in live.inner_text()
    assert "0.500 ± 0.010" in page.locator("tbody").inner_text()
    assert "Record more snapshots: too few are independent." in page.locator("#statuses").inner_text()
    client.set_terminated(runs[0.01])
    client.set_terminated(runs[0.1], "KILLED")
    live.wait_for(state="hidden")
    assert "1 run was cut off." in page.locator("#summary").inner_text()
    assert """-P resume='it'\\''s'""" in page.locator("#summary").inner_text()
    assert "incomplete" in page.locator("#statuses").inner_text()


def test_what_to_do_where_there_is_nothing(server, shown, visit):
    client = server.client
    client.create_experiment("nothing 'here'")
    client.create_run(client.create_experiment("runs of others"))
    for name in ("nothing%20'here'", "runs%20of%20others"):
        page = visit(f"{server.uri}/thermo/?experiment={name}")
        page.wait_for_selector("#summary pre")
        words = page.locator("#summary").inner_text()
        assert f"export MLFLOW_TRACKING_URI={server.uri}\nmlflow run . -e sweep" in words
    page = visit(f"{server.uri}/thermo/?experiment=shwon")
    assert 'There is no experiment "shwon"' in page.locator("#state").inner_text()
    page.locator("#summary").get_by_role("link", name="shown", exact=True).click()
    page.wait_for_selector("#chart-temperature .mark")
    page = visit(f"{server.uri}/thermo/?experiment_id=987654")
    assert "no experiment with the id 987654" in page.locator("#state").inner_text()
    page.get_by_role("combobox", name="Experiment").select_option(shown.experiment_id)
    page.wait_for_selector("#chart-temperature .mark")
    page.go_back()
    page.locator("#state", has_text="987654").wait_for()


def test_texts_of_strangers_are_texts(server, visit):
    """In the names of experiments and runs, in params and tags, and in a result.json that nobody's analysis wrote."""
    client = server.client
    name = "".join(EVIL)
    where = client.create_experiment(name)
    for i, evil in enumerate(EVIL):
        tags = {schema.TAG_KIND: schema.KIND_TRAIN, "mlflow.runName": evil, schema.TAG_SWEEP: EVIL[0]}
        run_id = client.create_run(where, tags={**tags, schema.TAG_STATUS: evil, schema.TAG_REGIME: evil}).info.run_id
        client.log_param(run_id, "lr", 0.1 + i)
        client.log_param(run_id, "seed", evil)
        client.log_param(run_id, "until", evil)
        client.log_metric(run_id, schema.METRIC_LOSS, 1.0 + i)
    page = visit(f"{server.uri}/thermo/?experiment_id={where}")
    page.wait_for_selector("#chart-loss .mark")
    page.mouse.click(*at_point(page, "loss", 0))
    assert EVIL[0] in page.locator("#chart-loss .note").inner_text()
    assert EVIL[1] in page.locator("tbody").inner_text()
    forged = dict.fromkeys(("run_id", "lr", "seed", "status", "regime", "note", "loss", "entropy"), EVIL[1])
    sound = {"run_id": run_id, "lr": 0.1, "seed": 0, "status": EVIL[0], "loss": 1.0, "signal": {"steps": EVIL[0]}}
    content = {
        "runs": [forged, sound, EVIL[0], None, 7], "notes": [EVIL[0], 7], "power_law": {"exponent": EVIL[1]},
        "estimator": {"name": EVIL[0], "dim": EVIL[0]}, "method": {}, "baselines": [EVIL[0]],
        "checks": {"convexity_p_value": EVIL[0], "leave_one_out": EVIL[0], "identifiability": {"status": EVIL[0]}},
    }  # fmt: skip
    done = client.create_run(where, tags={schema.TAG_KIND: schema.KIND_ANALYSIS}).info.run_id
    client.log_text(done, json.dumps(content), "result.json")
    client.set_tag(done, schema.TAG_SCOPE, f"sweep {EVIL[0]}")
    client.set_terminated(done)
    page.reload()
    page.wait_for_selector(".facts")
    assert EVIL[0] in page.locator(".notes").inner_text()
    assert EVIL[1] in page.locator("tbody").inner_text()
    page.goto(f"{server.uri}/thermo/?experiment={EVIL[1].replace('#', '')}")
    page.wait_for_selector("main[aria-busy=false]")
    for one in page.context.pages:
        assert unharmed(one)
        assert one.locator("main img, main script, main iframe, [onerror], [onload], a[href^=javascript]").count() == 0


def test_numbers_and_axes(shown, visit):
    page = visit(shown.address)
    found = page.evaluate("""async () => {
      const { shown, withError, between, logTicks, axis } = await import("./numbers.js");
      const { nearNames } = await import("./studies.js");
      const { quoted } = await import("./dom.js");
      return {
        shown: [0.03539, 2.8e-4, 1e-4, -123.456, null, NaN].map((value) => shown(value)),
        column: shown(0.0013, 3, 0.01, true),
        errors: [[0.90824, 0.0047], [-195.4426, 0.56], [2, null], [1e9, 2e7]].map((pair) => withError(...pair)),
        ends: [[-249.38, -248.72], [1.31e-4, 1.38e-4], [0, 5], [1, 1]].map((pair) => between(...pair)),
        ticks: logTicks(0.015, 0.33, 6).filter((tick) => tick.text).map((tick) => tick.text),
        at: [0.01, 0.1, 1].map((value) => axis([0.01, 1], { log: true, start: 0, end: 228 }).at(value)),
        near: nearNames("digit", ["digits", "something else", "Digits-up"]),
        words: ["study", "a b", "it's $(x)"].map(quoted),
      };
    }""")
    assert found["shown"] == ["0.0354", "2.8×10⁻⁴", "10⁻⁴", "−123", "–", "–"]
    assert found["column"] == "1.30×10⁻³"
    assert found["errors"] == ["0.9082 ± 0.0047", "−195.44 ± 0.56", "2", "10⁹ ± 2×10⁷"]
    assert found["ends"] == ["−249.4 to −248.7", "1.31×10⁻⁴ to 1.38×10⁻⁴", "0 to 5.00", "1.00 to 1.00"]
    assert found["ticks"] == ["0.02", "0.05", "0.1", "0.2"]
    assert found["at"] == pytest.approx([14, 114, 214])
    assert found["near"] == ["digits", "Digits-up"]
    assert found["words"] == ["study", "'a b'", "'it'\\''s $(x)'"]
