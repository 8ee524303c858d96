"""Figures as parts of a page that fetches nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from analysis.report.figures.style import WIDTH, Chart, spec_of
from analysis.report.numbers import with_powers

#: Significant digits of what is drawn; result.json has all.
_DIGITS = 6


def to_html_parts(figures: Mapping[str, Chart], still: Sequence[str] = ()) -> tuple[str, dict[str, str]]:
    """Script library, and a page fragment for each figure by name; nothing is fetched from a network.

    The library has the data of all figures, each table once. It stands behind the fragments, at the end of the page:
    it is large, and whatever stands behind it is not seen before it has run.

    Parameters
    ----------
    still : figures that are there as pictures as well, for a reader who runs no scripts.
    """
    import vl_convert

    if not figures:
        return "", {}
    tables: dict[str, dict[str, Any]] = {}
    fragments = {}
    for name, chart in figures.items():
        spec = _rounded(spec_of(chart))
        heading = ""
        if "layer" in spec:
            # A heading of the page breaks into lines, and is found by those who jump from one to the next.
            heading = f"<h3>{with_powers(str(spec.pop('title', '')))}</h3>"
        picture = vl_convert.vegalite_to_svg(spec) if name in still else ""
        # Their names are made of their content.
        own = spec.pop("datasets", {})
        tables |= {table: columns_of(rows) for table, rows in own.items()}
        if "layer" in spec and spec.get("width") == WIDTH:
            # As wide as its place on the page, which on a phone is narrow.
            spec |= {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
        content = _script({"name": name, "tables": list(own), "spec": spec})
        data = f'<script type="application/json" class="thermo-figure">{content}</script>'
        kind = "figure" if "layer" in spec else "figure broad"
        fragments[name] = f'{heading}<div class="{kind}" id="figure-{name}">{picture}</div>{data}'
    library = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub requires what its code does not
    ours = files("analysis.report").joinpath("templates/figures.js").read_text(encoding="utf-8")
    return f"{library}\nconst thermoTables = {_script(tables)};\n{ours}", fragments


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A table by columns, those of few values as a list of these and the place of each row's in it.

    Examples
    --------
    >>> columns_of([{"lr": 0.1, "u": 1.5}, {"lr": 0.1, "u": 2.0}, {"lr": 0.1, "u": 3.0}])
    {'lr': [[0.1], [0, 0, 0]], 'u': [1.5, 2.0, 3.0]}
    """
    out: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        different = list(dict.fromkeys(values))
        few = 2 * len(different) <= len(values)
        places = {value: place for place, value in enumerate(different)}
        out[name] = [different, [places[value] for value in values]] if few else values
    return out


def _rounded(value: Any) -> Any:
    """The same with floats of fewer digits, in tables and in scales alike: a value outside of a scale is not drawn."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def _script(value: Any) -> str:
    """`value` as it stands in a script."""
    # No text of a run can end the script, nor begin a comment in which its end is not seen.
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
