"""Faces of packages whose names load when they are first used (PEP 562). Standard library only.

A reader of settings, or of a folder of snapshots, needs neither torch nor MLflow nor a plotting library, and a machine
that lacks one of them can still use the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]], submodules: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The ``__getattr__``, ``__dir__`` and ``__all__`` of a package.

    Parameters
    ----------
    package : its name, ``__name__``.
    homes : names to show, by the submodule that they come from. A name must differ from that of its submodule, which
        would take its place once it is imported.
    submodules : modules of the package to show themselves.
    """
    home = {name: f"{package}.{module}" for module, names in homes.items() for name in names}
    shown = sorted({*home, *submodules})

    def load(name: str) -> Any:
        if name in submodules:
            return import_module(f"{package}.{name}")
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(home[name]), name)
        # The next use finds it without coming here.
        setattr(sys.modules[package], name, value)
        return value

    return load, lambda: list(shown), list(shown)
