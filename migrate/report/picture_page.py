"""A picture as a part of a page: the elements that its script fills, its data, and the script and style themselves."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from html import escape
from pathlib import Path

from migrate.printable import printable
from migrate.report.picture import Picture

_FOLDER = Path(__file__).with_name("page")
_SCRIPTS = ("model.js", "pane.js", "ribbons.js", "treemap.js", "values.js", "details.js", "app.js")
"""The parts of the script, in order."""


@cache
def style() -> str:
    """The style of every page."""
    return (_FOLDER / "page.css").read_text(encoding="utf-8")


@cache
def fragment_style() -> str:
    """The style of a fragment, whose rules apply to nothing outside it."""
    return (_FOLDER / "fragment.css").read_text(encoding="utf-8")


@cache
def script() -> str:
    """The script of a page with a picture, in a scope of its own."""
    parts = "".join((_FOLDER / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    return f'"use strict";\n{{\n{parts}}}\n'


def policy(*, has_picture: bool) -> str:
    """The content security policy: nothing is loaded, and no script runs but this module's."""
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    scripts = f" script-src 'sha256-{digest}';" if has_picture else ""
    return f"default-src 'none'; style-src 'unsafe-inline';{scripts} base-uri 'none'; form-action 'none'"


def draw_picture(picture: Picture) -> str:
    """Draws the elements that the script fills, and the data that it reads."""
    one = " one" if len(picture.trees) == 1 else ""
    panes = [_pane(side) for side in range(len(picture.trees))]
    heads = [f'<h2 id="label{side}">{_text(tree.label)}</h2>' for side, tree in enumerate(picture.trees)]
    if len(panes) > 1:
        panes.insert(1, '<svg id="ribbons" aria-hidden="true"></svg>')
        heads.insert(1, "<span></span>")
    return f"""\
<div class="tools" role="search">
<input type="search" id="search" placeholder="Search key paths ( / )" aria-label="Search key paths">
<fieldset id="filter-kind"><legend class="unseen">What happens</legend></fieldset>
<fieldset id="filter-proof"><legend>proved</legend></fieldset>
<button type="button" id="expand">Expand all</button>
<button type="button" id="collapse">Collapse</button>
<button type="button" id="theme">Dark or light</button>
<span id="count" class="faint" role="status" aria-live="polite"></span>
</div>
<div class="tree-head{one}">{"".join(heads)}</div>
<div id="trees" class="trees{one}">{"".join(panes)}</div>
<div class="below">
<div>
<canvas id="treemap" role="img" aria-label="The bytes of the leaves as areas"></canvas>
<div id="treemap-status"></div>
</div>
<div id="details" role="region" aria-label="Details" aria-live="polite" tabindex="0">
<p class="faint">Select a leaf: click it, or move with the arrow keys and press Enter.</p>
</div>
</div>
<script type="application/json" id="picture">{_json(picture)}</script>
<script>{script()}</script>
"""


def _pane(side: int) -> str:
    return f'<div id="tree{side}" class="pane" role="tree" tabindex="0" aria-labelledby="label{side}"></div>'


def _json(picture: Picture) -> str:
    """The data as JSON that no parser of HTML can end early."""
    text = json.dumps(_printable(picture.to_json()), ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _printable(value: object) -> object:
    """The value with text that is safe to show."""
    if isinstance(value, str):
        return "\n".join(map(printable, value.split("\n")))
    if isinstance(value, list):
        return [_printable(one) for one in value]
    if isinstance(value, dict):
        return {key: _printable(one) for key, one in value.items()}
    return value


def _text(text: str) -> str:
    return escape(printable(text))
