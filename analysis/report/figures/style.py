"""What all figures share: sizes, axes, and how a chart becomes a picture or a part of a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import altair as alt
import pandas as pd

WIDTH, HEIGHT = 420, 300
#: Legends stand below their figure, so that two figures fit side by side.
BELOW = alt.Legend(orient="bottom", columns=6)

Chart = alt.LayerChart | alt.HConcatChart | alt.VConcatChart | alt.FacetChart


def layered(*charts: alt.Chart | alt.LayerChart) -> alt.LayerChart:
    """Charts on top of each other; none of them is faceted, which the library's own function allows for."""
    chart = alt.layer(*charts)
    assert isinstance(chart, alt.LayerChart)
    return chart


def log_scale() -> alt.Scale:
    """A logarithmic scale that ends where the data do."""
    # A "nice" domain would end at whole decades, and leave half of a figure empty.
    return alt.Scale(type="log", nice=False, padding=12)


def uniform_line(level: float | None) -> list[alt.Chart]:
    """A labelled line where uniformly random weights lie; nothing where that is not known."""
    if level is None:
        return []
    data = pd.DataFrame({"uniform": [level]})
    rule = alt.Chart(data).mark_rule(strokeDash=[6, 4]).encode(y="uniform:Q")
    text = alt.Chart(data).mark_text(align="left", baseline="bottom", x=4, dy=-3, text="uniformly random weights")
    return [rule, text.encode(y="uniform:Q")]


def lr_axis(title: str = "Learning rate") -> alt.X:
    """The horizontal axis of everything that is drawn against the learning rate `lr`."""
    return alt.X("lr:Q", scale=log_scale(), title=title, axis=alt.Axis(format="~g", tickCount=5))


def to_png(chart: Chart) -> bytes:
    """A figure as PNG, drawn without a browser or a network."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(_json(chart), scale=2))


def png_names(charts: Iterable[str]) -> list[str]:
    """Where `write_pngs` puts the figures of these names, relative to the folder of the report."""
    return [f"figures/{name}.png" for name in charts]


def write_pngs(charts: Mapping[str, Chart], folder: Path) -> list[Path]:
    """Write each figure as figures/NAME.png into `folder`; returns their paths."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in png_names(charts)]
    for path, chart in zip(paths, charts.values(), strict=True):
        path.write_bytes(to_png(chart))
    return paths


def _json(chart: Chart) -> str:
    # Altair refuses more than 5000 rows, to keep notebooks small; a study of a thousand runs has more log points.
    with alt.data_transformers.disable_max_rows():
        return chart.to_json(indent=None)


def to_html_parts(figures: Mapping[str, Chart]) -> tuple[str, dict[str, str]]:
    """Script library, and a page fragment for each figure by name; nothing is fetched from a network."""
    import vl_convert

    library = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub requires what its code does not
    return library, {name: _fragment(name, chart) for name, chart in figures.items()}


def _fragment(name: str, chart: Chart) -> str:
    # No text of a run can end the script, nor begin a comment in which its end is not seen.
    content = _json(chart).replace("<", "\\u003c")
    call = f'vegaEmbed("#figure-{name}", {content}, {{actions: false}});'
    return f'<div class="figure" id="figure-{name}"></div><script>{call}</script>'
