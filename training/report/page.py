"""A report as one HTML page: nothing is loaded from elsewhere, and it prints."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import singledispatch
from html import escape

from training.report.parts import (
    Cell,
    Gallery,
    Listing,
    Missing,
    Part,
    Plot,
    Section,
    Table,
    Warn,
    interval_text,
    number_text,
)
from training.report.style import STYLE
from training.report.words import RESEARCH_ONLY

MANY_COLUMNS = 9
"""From so many on a table is set smaller, so that it fits the page."""


def page(title: str, subtitle: Sequence[str], sections: Sequence[Section]) -> str:
    """The whole page.

    Parameters
    ----------
    subtitle : lines below the title
    sections : sequence of Section
        In the order of reading; each gets a line in the table of contents.
    """
    contents = "".join(
        f'<li><a href="#{escape(one.key)}">{escape(one.title)}</a></li>' for one in sections
    )
    lines = "".join(f"<p>{escape(line)}</p>" for line in subtitle)
    body = "".join(
        f'<section id="{escape(one.key)}"><h2>{number}. {escape(one.title)}</h2>'
        f"{''.join(map(_html, one.parts))}</section>"
        for number, one in enumerate(sections, 1)
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f'<p class="research">{escape(RESEARCH_ONLY)}</p>'
        f'<header><h1>{escape(title)}</h1><div class="subtitle">{lines}</div></header>'
        f"<nav><h2>Contents</h2><ol>{contents}</ol></nav><main>{body}</main>"
        f"<footer>{escape(RESEARCH_ONLY)}</footer></body></html>\n"
    )


@singledispatch
def _html(part: Part) -> str:
    raise TypeError(f"a {type(part).__name__} cannot be drawn")


@_html.register
def _paragraph(part: str) -> str:
    return f"<p>{_text(part)}</p>"


@_html.register
def _missing(part: Missing) -> str:
    return f'<p class="missing">{_text(part.sentence)}</p>'


@_html.register
def _warning(part: Warn) -> str:
    return _banner(part.sentence)


@_html.register
def _table(part: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in part.columns)
    body: list[str] = []
    above: tuple[Cell, ...] = ()
    for row in part.rows:
        body.append(_row(row, above, part.lead))
        above = row[: part.lead]
    many = ' class="many"' if len(part.columns) >= MANY_COLUMNS else ""
    return (
        f'<figure class="table" id="{escape(part.key)}">{_banner(part.banner)}'
        f"<figcaption><b>{escape(part.title)}</b> {_text(part.caption)}</figcaption>"
        f'<div class="wide"><table{many}><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div></figure>"
    )


def _row(row: Sequence[Cell], above: Sequence[Cell], lead: int) -> str:
    """One row; names that stand already in the row above are left out."""
    cells, is_repeated = [], True
    for column, cell in enumerate(row):
        is_repeated = is_repeated and column < len(above) and cell == above[column]
        if column < lead:
            shown = "" if is_repeated else escape(str(cell))
            cells.append(f'<th scope="row">{shown}</th>')
        else:
            cells.append(f'<td class="{_kind(cell)}">{_cell(cell)}</td>')
    starts = row[0] != above[0] if above else False
    kind = " class=group" if starts else ""
    return f"<tr{kind}>{''.join(cells)}</tr>"


def _kind(cell: Cell) -> str:
    return "text" if isinstance(cell, str) else "number"


def _cell(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str | int):
        return escape(str(cell))
    if isinstance(cell, float):
        return number_text(cell)
    reason = cell.get("reason")
    title = f' title="{escape(str(reason))}"' if reason else ""
    count = f" <small>n = {cell['n']}</small>" if cell.get("n") is not None else ""
    if cell.get("value") is None:
        return f"<span{title}>–</span>{count}"
    value, interval = number_text(cell["value"]), interval_text(cell)
    return f"<span{title}>{escape(value)}{count}<br><i>{escape(interval)}</i></span>"


def _text(words: str) -> str:
    """Words for the page; what stands between backticks is typed as it is."""
    whole = escape(words).replace("n = ", "n\u00a0=\u00a0")  # never apart at a line's end
    pieces = whole.split("`")
    if len(pieces) % 2 == 0:
        return whole
    return "".join(
        f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces)
    )


@_html.register
def _plot(part: Plot) -> str:
    source = base64.b64encode(part.svg).decode()
    return (
        f'<figure id="{escape(part.key)}">{_banner(part.banner)}'
        f'<img src="data:image/svg+xml;base64,{source}" alt="{escape(part.title)}">'
        f"<figcaption><b>{escape(part.title)}</b> {_text(part.caption)}</figcaption></figure>"
    )


def _banner(text: str) -> str:
    return f'<p class="banner">{escape(text)}</p>' if text else ""


@_html.register
def _gallery(part: Gallery) -> str:
    cards = []
    for one in part.pictures:
        images = [one.image] if one.map is None else [one.image, one.map]
        drawn = "".join(f'<img src="{_source(image)}" alt="">' for image in images)
        lines = "<br>".join(map(escape, one.lines))
        cards.append(f'<div class="card"><div class="pair">{drawn}</div><p>{lines}</p></div>')
    return (
        f"<figure><figcaption><b>{escape(part.title)}</b> {_text(part.caption)}</figcaption>"
        f'<div class="gallery">{"".join(cards)}</div></figure>'
    )


def _source(image: bytes) -> str:
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


@_html.register
def _listing(part: Listing) -> str:
    rows = "".join(
        f'<tr class="{"filled" if filled else "empty"}"><th scope="row">{escape(number)}</th>'
        f"<td>{escape(topic)}</td><td>{escape(text)}</td></tr>"
        for number, topic, text, filled in part.items
    )
    return (
        f'<figure class="table"><figcaption><b>{escape(part.title)}</b> {_text(part.caption)}'
        '</figcaption><div class="wide"><table class="list"><thead><tr><th>Item</th><th>Topic</th>'
        f"<th>From the records, or to be written</th></tr></thead><tbody>{rows}</tbody></table>"
        "</div></figure>"
    )
