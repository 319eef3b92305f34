"""Writes tables of settings into the site: `<!-- settings of MODULE.CLASS -->` in a page becomes its knobs."""

import re
from importlib import import_module
from typing import Any

MARK = re.compile(r"<!-- settings of ([\w.]+)\.(\w+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for every page."""
    return MARK.sub(_tables, markdown)


def _tables(found: re.Match[str]) -> str:
    from polytalk.config.knobs import reference

    return reference(getattr(import_module(found[1]), found[2]))
