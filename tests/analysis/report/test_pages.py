"""Pages in a real browser: in MLflow's artifact viewer, on a desk, on a phone, on paper, and without scripts."""

import contextlib

import pytest

from analysis.report.captions import CAPTIONS
from analysis.report.page import page as page_of
from tests.analysis.report.studies import KINDS
from tests.browser import needs_chromium

pypdfium2 = pytest.importorskip("pypdfium2")
pytestmark = [pytest.mark.slow, needs_chromium, pytest.mark.xdist_group("page")]

#: What does not fit into the width of the page, or of its own place.
WIDER = """() => [...document.querySelectorAll(".figure svg, figure, p, .wide")]
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 1
        || one.scrollWidth > one.clientWidth + 1 && PAPER)
    .map((one) => one.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Folder of the report of each kind of study that is asked for."""
    made = {}

    def report(kind):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("report")
            study = KINDS[kind]()
            # Without the pictures, which take longest.
            (made[kind] / "report.html").write_text(page_of(study, f"A study: {kind}", study.figures()), "utf-8")
        return made[kind]

    return report


@contextlib.contextmanager
def opened(browser, address, width=1280, height=800, **options):
    """A page with all its figures drawn; nothing may be wrong with its scripts."""
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.goto(address)
    if options.get("java_script_enabled", True) and page.locator("figure").count():
        # Each stands beside its picture until it is drawn.
        page.wait_for_function("thermoViews.length === document.querySelectorAll('figure').length", timeout=60_000)
    yield page
    assert wrong == []
    context.close()


def test_in_the_artifact_viewer_of_mlflow(browser, reports, server):
    """In a frame that may run scripts and nothing else, without storage, and half as wide as the window."""
    folder, client = reports("nine"), server.client
    run = client.create_run(client.create_experiment("viewed"))
    client.log_artifact(run.info.run_id, str(folder / "report.html"))
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    place = f"experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts/report.html"
    page.goto(f"{server.uri}/#/{place}")
    frame_element = page.wait_for_selector("iframe", timeout=60_000)
    assert frame_element.get_attribute("sandbox") == "allow-scripts"
    frame = frame_element.content_frame()
    frame.wait_for_function("typeof thermoViews === 'object' && thermoViews.length === 12", timeout=60_000)
    assert frame.evaluate(WIDER.replace("PAPER", "false")) == []
    visible = frame_element.bounding_box()
    answer = frame.locator(".answer")
    assert answer.inner_text().startswith("T rises with the learning rate")
    first = answer.bounding_box()
    assert visible["y"] <= first["y"] < first["y"] + first["height"] < visible["y"] + visible["height"]
    # Nothing is kept there, so nothing may be asked for.
    assert frame.evaluate("() => { try { return localStorage.length } catch (error) { return error.name } }") == (
        "SecurityError"
    )
    context.close()


@pytest.mark.parametrize("kind", ["nine", "mixed", "one run", "converging", "refused", "nothing"])
@pytest.mark.parametrize("width", [1280, 360])
def test_nothing_is_wider_than_the_page(browser, reports, kind, width):
    with opened(browser, (reports(kind) / "report.html").as_uri(), width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator(".answer").bounding_box()["y"] < 200
        # Each figure has its axes and its points.
        for figure in page.locator(".figure svg").all():
            assert figure.locator("path").count() > 3


def test_the_answer_is_on_the_first_screen(browser, reports):
    with opened(browser, (reports("nine") / "report.html").as_uri()) as page:
        for part in (".answer", ".trust", ".short tbody tr:nth-child(5)", "#figure-temperature svg"):
            box = page.locator(part).bounding_box()
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= 800, part


@pytest.mark.parametrize(("scheme", "ink"), [("light", "rgb(31, 35, 40)"), ("dark", "rgb(230, 233, 237)")])
def test_figures_have_the_colours_of_the_page(browser, reports, scheme, ink):
    with opened(browser, (reports("nine") / "report.html").as_uri(), color_scheme=scheme) as page:
        labels = page.locator(".role-axis-label text, .role-legend-label text, .role-axis-title text")
        colours = labels.evaluate_all("all => [...new Set(all.map((one) => getComputedStyle(one).fill))]")
        assert colours == [ink]


def test_every_figure_says_what_it_shows_and_under_the_pointer_which_run_it_is(browser, reports):
    with opened(browser, (reports("nine") / "report.html").as_uri()) as page:
        assert page.locator(".figure svg").count() == 12
        for name in KINDS["nine"]().figures():
            place = page.locator(f"#figure-{name}")
            assert place.get_attribute("aria-label") == CAPTIONS[name]
            place.scroll_into_view_if_needed()
            points = place.locator(".mark-symbol.role-mark path")
            points.nth(points.count() // 2).hover(force=True)
            said = page.locator("#vg-tooltip-element").inner_text()
            for word in ("run", "seed", "chains", "lr" if name != "free_energy" else "lr of T"):
                assert word in said, name
            if name not in ("n_eff", "paper_entropy", "paper_entropy_course", "free_energy"):
                assert "±" in said, name


def test_on_paper_nothing_is_cut_and_headers_repeat(browser, reports, tmp_path):
    with opened(browser, (reports("sixty") / "report.html").as_uri()) as page:
        page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
        # As the printer sees it: at the width of a sheet without its margins.
        page.set_viewport_size({"width": 688, "height": 1000})
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate(WIDER.replace("PAPER", "one.matches('.wide')")) == []
        rule = "all => all.map((one) => getComputedStyle(one).breakInside)"
        assert set(page.locator("figure, tr").evaluate_all(rule)) == {"avoid"}
    document = pypdfium2.PdfDocument(tmp_path / "page.pdf")
    texts = [document[i].get_textpage().get_text_range() for i in range(len(document))]
    whole = "\n".join(texts)
    for title in ("Loss and entropy", "Checks", "Course of the runs", "Runs and notes", "How the numbers were made"):
        assert title in whole
    assert "https://arxiv.org/abs/2505.23489" in whole
    # Three tables of sixty rows on more than three sheets.
    assert sum("seed" in text for text in texts) > 3
    document.close()


def test_without_scripts_the_answer_is_there_with_its_figure(browser, reports):
    address = (reports("nine") / "report.html").as_uri()
    with opened(browser, address, java_script_enabled=False) as page:
        assert page.locator("#figure-temperature svg").bounding_box()["height"] > 200
        assert "The other figures need scripts" in page.locator("noscript").inner_text()
        assert page.locator(".short tbody tr").count() == 9
