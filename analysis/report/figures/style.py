"""What all figures share: sizes, colours, axes, and how a chart becomes a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

WIDTH, HEIGHT = 420, 300
#: Legends stand below their figure, in one column where that is narrow, as on a phone.
BELOW = alt.Legend(orient="bottom", columns=alt.ExprRef("containerSize()[0] < 420 ? 2 : 4"))
#: The colour of the text around a figure: black on paper, white on a dark page.
INK = "currentColor"
#: From the lowest to the highest learning rate: neither end is lost on a white or on a dark page.
RAMP = ["#3b78d8", "#7d6bd6", "#c257a8", "#e2605d", "#d98a1f"]
#: Beside the colour, which not everybody sees.
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left"]
#: Of regimes.
HUES = ["#1b9e77", "#d95f02", "#7570b3", "#d6558b"]

_INKED = {"labelColor": INK, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal"}
CONFIG: dict[str, Any] = {
    "background": None,
    "view": {"stroke": None},
    "axis": {
        **_INKED, "domainColor": INK, "tickColor": INK, "gridColor": INK, "gridOpacity": 0.12, "domainOpacity": 0.5,
        "tickOpacity": 0.5,
    },
    # Below each other: side by side the last of them would leave a narrow figure.
    "legend": {**_INKED, "labelLimit": 240, "layout": {"bottom": {"anchor": "start", "direction": "vertical"}}},
    "title": {"color": INK, "anchor": "start", "fontSize": 13, "fontWeight": 600, "offset": 10},
    "text": {"color": INK},
    "rule": {"color": INK},
    "point": {"strokeWidth": 1.6},
}  # fmt: skip

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


def level_line(level: float | None, least: float, most: float, name: str = "uniformly random weights") -> list[Any]:
    """A labelled horizontal line at `level`; only its name, at the edge, where it would press the data flat.

    Parameters
    ----------
    level : None where it is not known: then nothing is drawn.
    least, most : ends of the data.
    """
    if level is None:
        return []
    span = most - least
    if least - 2 * span <= level <= most + 2 * span or not span:
        data = pd.DataFrame({"uniform": [level]})
        rule = alt.Chart(data).mark_rule(strokeDash=[6, 4]).encode(y="uniform:Q")
        text = alt.Chart(data).mark_text(align="left", baseline="bottom", x=4, dy=-3, text=name)
        return [rule, text.encode(y="uniform:Q")]
    above = level > most
    words = f"{'↑' if above else '↓'} {name}: {level:.4g}"
    note = alt.Chart(pd.DataFrame({"uniform": [level]}))
    if above:
        return [note.mark_text(align="left", baseline="top", x=4, y=2, text=words)]
    return [note.mark_text(align="left", baseline="bottom", x=4, y=HEIGHT - 4, text=words)]


def lr_axis(title: str = "Learning rate") -> alt.X:
    """The horizontal axis of everything that is drawn against the learning rate `lr`."""
    return alt.X("lr:Q", scale=log_scale(), title=title, axis=alt.Axis(format=".3~g", tickCount=5))


def by_lr(title: str, lrs: Iterable[float]) -> dict[str, Any]:
    """Colour and shape of lines by learning rate, with one legend for both."""
    known = sorted(set(lrs))
    legend = alt.Legend(
        orient="bottom", columns=alt.ExprRef("containerSize()[0] < 420 ? 3 : 4"), format=".3~g", symbolOpacity=1
    )
    # With domains of their own the two would have two legends.
    color, shape = (
        alt.Scale(domain=known, range=found) for found in (_ramp(len(known)), [*SHAPES, *SHAPES][: len(known)])
    )
    return {
        "color": alt.Color("lr:O", title=title, scale=color, legend=legend),
        "shape": alt.Shape("lr:N", title=title, scale=shape, legend=legend),
    }


def _ramp(n: int) -> list[str]:
    """`n` colours along `RAMP`."""
    ends = [[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in RAMP]
    out = []
    for k in range(n):
        at = k * (len(ends) - 1) / max(n - 1, 1)
        low = min(int(at), len(ends) - 2)
        mixed = [round(a + (at - low) * (b - a)) for a, b in zip(ends[low], ends[low + 1], strict=True)]
        out.append("#{:02x}{:02x}{:02x}".format(*mixed))
    return out


def to_png(chart: Chart) -> bytes:
    """A figure as PNG, drawn without a browser or a network."""
    import vl_convert

    spec = spec_of(chart)
    spec["config"] = {**spec["config"], "background": "white"}
    return bytes(vl_convert.vegalite_to_png(spec, scale=2))


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


def spec_of(chart: Chart) -> dict[str, Any]:
    """The Vega-Lite specification of a chart, in the colours of what is around it."""
    # Altair refuses more than 5000 rows, to keep notebooks small; a study of a thousand runs has more log points.
    with alt.data_transformers.disable_max_rows():
        spec: dict[str, Any] = chart.to_dict()
    spec["config"] = CONFIG
    return spec
