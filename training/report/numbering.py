"""Numbers of tables and figures, in the order of reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from training.report.parts import Part, Plot, Section, Table


def numbered(sections: Sequence[Section], banner: str = "") -> list[Section]:
    """The sections with `Table 1.`, `Figure 1.` ... before the titles.

    A key that two parts share gets a number behind it, so that no file replaces another.

    Parameters
    ----------
    banner : str
        Stands on every table and figure.
    """
    counts = {Table: 0, Plot: 0}
    seen: dict[str, int] = {}

    def number(part: Part) -> Part:
        if not isinstance(part, Table | Plot):
            return part
        counts[type(part)] += 1
        name = "Table" if isinstance(part, Table) else "Figure"
        seen[part.key] = seen.get(part.key, 0) + 1
        key = part.key if seen[part.key] == 1 else f"{part.key}-{seen[part.key]}"
        title = f"{name} {counts[type(part)]}. {part.title}"
        return replace(part, key=key, title=title, banner=part.banner or banner)

    return [replace(one, parts=tuple(map(number, one.parts))) for one in sections]
