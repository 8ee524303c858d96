"""Docstrings as the reference wants them.

Their parameters have the form ``name : what it is.`` with no type, since the type is in the signature. Numpydoc's form
has the type in that place, and would show the description as if it were one.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Function, Object

#: A line of the source may have so many characters. A description goes on to the next line only past them.
WIDTH = 108
SECTION = re.compile(r"^(\w+)\n-{3,}\n(.*?)(?=^\w+\n-{3,}\n|\Z)", re.M | re.S)


class Untyped(Extension):
    """Moves descriptions to where numpydoc looks for them."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring is None:
            return
        returns = str(obj.returns) if isinstance(obj, Function) and obj.returns is not None else ""

        def section(found: re.Match[str]) -> str:
            name, body = found.groups()
            if name in ("Parameters", "Attributes"):
                body = described(body)
            elif name == "Returns" and body.strip() == returns:
                # The signature says it.
                return ""
            elif name == "Returns" and returns and " " in body.strip() and not re.search(r"^ +\S", body, re.M):
                body = f"{returns}\n" + "".join(f"    {line}\n" for line in body.strip().splitlines()) + "\n"
            return f"{name}\n{'-' * len(name)}\n{body}"

        obj.docstring.value = SECTION.sub(section, obj.docstring.value)


def described(body: str) -> str:
    """The items of a section, with a description that stands in the place of a type on a line of its own."""
    items = re.split(r"^(?=\S)", body, flags=re.M)
    return "".join(_item(item) for item in items)


def _item(item: str) -> str:
    first, _, rest = item.partition("\n")
    name, colon, text = first.partition(" : ")
    words = rest.split()
    if not colon or (words and _may_be_a_type(text) and len(first) + 1 + len(words[0]) <= WIDTH):
        return item
    return f"{name}\n    {text}\n{rest}"


def _may_be_a_type(text: str) -> bool:
    """Whether text is no sentence; names in a sentence have backticks, those in a type have none."""
    return not text.endswith(".") and "`" not in text
