"""Formulas as MathML, which browsers draw by themselves: no script, and none from another server."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert


def on_page_content(content: str, **_: Any) -> str:
    r"""Replace what the extension arithmatex has put into \(…\) and \[…\]."""
    content = re.sub(
        r'<span class="arithmatex">\\\((.*?)\\\)</span>',
        lambda found: convert(html.unescape(found[1])),
        content,
        flags=re.S,
    )
    return re.sub(
        r'<div class="arithmatex">\\\[(.*?)\\\]</div>',
        lambda found: f'<div class="formula">{convert(html.unescape(found[1]), display="block")}</div>',
        content,
        flags=re.S,
    )
