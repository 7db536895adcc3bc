"""What a region can say: use this, leave this out, or: here is this class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from marrow.records import Role
from marrow.schemes import Scheme

ROLE_COLOURS: dict[Role, str] = {"use": "#2fbf71", "exclude": "#e4572e", "class": "#3f88c5"}
"""Colour of a region by its role; all differ from the purples and pinks of a stain."""
CLASS_COLOURS = ("#3f88c5", "#f2b134", "#00b3b3", "#8c6d31", "#1b4dd6", "#9bc53d", "#5e5e5e")
"""Of the scheme's classes in their order, told apart by readers who do not see red or green."""


class RegionKind(NamedTuple):
    """Role of a region, and the class of a `class` region."""

    role: Role
    class_name: str = ""

    @property
    def title(self) -> str:
        """As a person reads it."""
        return self.class_name or self.role


def region_kinds(scheme: Scheme) -> tuple[RegionKind, ...]:
    """What regions of this study can say: `use`, `exclude`, then the classes that are asked."""
    names = [(head.name, name) for head in scheme.asked for name in head.classes]
    often = Counter(name for _, name in names)
    classes = [name if often[name] == 1 else f"{head}: {name}" for head, name in names]
    return (
        RegionKind("use"),
        RegionKind("exclude"),
        *(RegionKind("class", name) for name in classes),
    )


def region_colour(kind: RegionKind, kinds: Sequence[RegionKind]) -> str:
    """`#rrggbb` of a region; a class that this study does not know has the colour of its role."""
    if kind.role != "class" or kind not in kinds:
        return ROLE_COLOURS[kind.role]
    classes = [one for one in kinds if one.role == "class"]
    return CLASS_COLOURS[classes.index(kind) % len(CLASS_COLOURS)]
