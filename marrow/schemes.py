"""The questions that a model answers: heads, their classes, and what follows from what."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from marrow.errors import BadScheme

MAX_HEADS = 6
MAX_CLASSES = 24
"""Over all heads together. Both are the number of columns that the catalogue keeps
for sorting (`catalogue/schema.py`), not a limit of the network."""

NOT_CLASSES = frozenset({"", "unsure"})
"""Answers that a table may hold and that are never a class."""

_frozen = ConfigDict(frozen=True, extra="forbid")


class LabelFrom(BaseModel):
    """How a head's label follows from another head's label.

    `classes` maps a class of this head to the answers of `head` that mean it; every
    other answer means this head's first class.
    """

    model_config = _frozen
    head: str
    classes: dict[str, tuple[str, ...]]

    @model_validator(mode="before")
    @classmethod
    def _flat_table(cls, value: Any) -> Any:
        # A scheme file writes { head = "diagnosis", MDS = ["MDS"] }.
        if isinstance(value, Mapping) and "classes" not in value:
            return {
                "head": value.get("head"),
                "classes": {k: v for k, v in value.items() if k != "head"},
            }
        return value


class Head(BaseModel):
    """One question: a name and its classes in the order of the network's outputs."""

    model_config = _frozen
    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")
    classes: tuple[str, ...] = Field(min_length=2)
    positive: str | None = None
    """The class that sensitivity and AUC are about; two-class heads only."""
    label_from: LabelFrom | None = None
    asked_when: dict[str, tuple[str, ...]] = {}
    """Where the question makes sense: other heads, and their answers that allow it. The
    subtypes of MDS are asked when the diagnosis is MDS; of any other smear the head's answer,
    which a network always gives, means nothing and is not shown."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"head {self.name}: a class is named twice")
        for name in self.classes:
            if name in NOT_CLASSES or name != name.strip():
                raise ValueError(f"head {self.name}: {name!r} cannot be the name of a class")
        if self.positive is None and len(self.classes) == 2:
            raise ValueError(f"head {self.name} has two classes: say which one is `positive`")
        if self.positive is not None and (
            len(self.classes) != 2 or self.positive not in self.classes
        ):
            raise ValueError(f"head {self.name}: `positive` must be one of two classes")
        return self


class Implication(BaseModel):
    """If the answers hold all of `when`, they must hold all of `then`."""

    model_config = _frozen
    when: dict[str, str]
    then: dict[str, str]


class Scheme(BaseModel):
    """What a study asks of each smear.

    `unit` is the unit of its figures: `patient` (a diagnosis, one per patient) or
    `image` (a cell, grouped by patient and never counted as independent).
    """

    model_config = _frozen
    name: str = Field(min_length=1)
    unit: Literal["patient", "image"]
    primary: str
    heads: tuple[Head, ...] = Field(min_length=1, max_length=MAX_HEADS)
    implications: tuple[Implication, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [head.name for head in self.heads]
        if len(set(names)) != len(names):
            raise ValueError("two heads have the same name")
        if sum(len(head.classes) for head in self.heads) > MAX_CLASSES:
            raise ValueError(f"more than {MAX_CLASSES} classes over all heads")
        if self.primary not in names:
            raise ValueError(f"primary = {self.primary!r} is none of the heads {names}")
        for head in self.heads:
            self._check_label_from(head, names)
            self._check_asked_when(head, names)
        for implication in self.implications:
            for name, answer in (*implication.when.items(), *implication.then.items()):
                if name not in names or answer not in self.head(name).classes:
                    raise ValueError(f"an implication names {name} = {answer}, which is no answer")
        return self

    def _check_label_from(self, head: Head, names: list[str]) -> None:
        source = head.label_from
        if source is None:
            return
        if source.head not in names or source.head == head.name:
            raise ValueError(f"head {head.name}: label_from names no other head")
        if self.head(source.head).label_from is not None:
            raise ValueError(f"head {head.name}: label_from must name a head that is asked")
        for own, theirs in source.classes.items():
            unknown = {own} - set(head.classes) | set(theirs) - set(self.head(source.head).classes)
            if unknown:
                raise ValueError(f"head {head.name}: label_from names {sorted(unknown)}")

    def _check_asked_when(self, head: Head, names: list[str]) -> None:
        if head.asked_when and head.name == self.primary:
            raise ValueError(f"head {head.name} is the primary one, which is always asked")
        for name, answers in head.asked_when.items():
            if name not in names or name == head.name or self.head(name).asked_when:
                raise ValueError(f"head {head.name}: asked_when names no head that is always asked")
            unknown = sorted(set(answers) - set(self.head(name).classes))
            if unknown or not answers:
                raise ValueError(f"head {head.name}: asked_when names {unknown or 'no answer'}")

    def head(self, name: str) -> Head:
        """The head of that name; KeyError if there is none."""
        for head in self.heads:
            if head.name == name:
                return head
        raise KeyError(name)

    @property
    def asked(self) -> tuple[Head, ...]:
        """The heads that a reader answers; the others follow from these."""
        return tuple(head for head in self.heads if head.label_from is None)

    def applying(self, answers: Mapping[str, str | None]) -> tuple[Head, ...]:
        """The heads whose question makes sense where these are the answers to one smear.

        What is not known (None, or missing) rules out nothing.
        """
        return tuple(
            head
            for head in self.heads
            if all(
                answers.get(name) is None or answers[name] in allowed
                for name, allowed in head.asked_when.items()
            )
        )

    def complete(self, given: Mapping[str, str]) -> dict[str, str | None]:
        """One answer per head, None where it is missing or unsure, from the answers given.

        An answer to a head that does not apply counts as missing: it trains and scores nothing.

        Raises
        ------
        KeyError
            If `given` names a head that is not asked.
        """
        unknown = set(given) - {head.name for head in self.asked}
        if unknown:
            raise KeyError(*sorted(unknown))
        known = {name: answer for name, answer in given.items() if answer not in NOT_CLASSES}
        answers = {head.name: self._answer(head, known) for head in self.heads}
        applying = {head.name for head in self.applying(answers)}
        return {name: answer if name in applying else None for name, answer in answers.items()}

    @staticmethod
    def _answer(head: Head, known: Mapping[str, str]) -> str | None:
        if head.label_from is None:
            return known.get(head.name)
        source = known.get(head.label_from.head)
        if source is None:
            return None
        for own, theirs in head.label_from.classes.items():
            if source in theirs:
                return own
        return head.classes[0]

    def is_contradicted_by(self, calls: Mapping[str, str]) -> bool:
        """Whether the calls of one smear contradict an implication or a derived head.

        Heads that do not apply under these calls are left out: what the subtype of MDS is said
        to be contradicts nothing where the diagnosis is called AA.
        """
        applying = {head.name for head in self.applying(calls)}
        calls = {name: call for name, call in calls.items() if name in applying}
        for implication in self.implications:
            holds = all(calls.get(h) == answer for h, answer in implication.when.items())
            then = implication.then.items()
            if holds and any(calls.get(head, answer) != answer for head, answer in then):
                return True
        asked = {head.name: calls[head.name] for head in self.asked if head.name in calls}
        implied = self.complete(asked)
        return any(
            head.label_from is not None
            and implied[head.name] is not None
            and calls.get(head.name, implied[head.name]) != implied[head.name]
            for head in self.heads
        )

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Read a scheme file.

        Raises
        ------
        BadScheme
            With the file, the place in it and what is wrong.
        """
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadScheme(
                f"{path}: cannot be read ({error.strerror}); give a TOML file"
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadScheme(f"{path}: no valid TOML ({error})") from error
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            raise BadScheme(f"{path}: {first_fault(error)}") from error


def first_fault(error: ValidationError) -> str:
    """The first fault of a pydantic error as 'place: what is wrong'."""
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"])
    text = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {text}" if place else text


AA_MDS_AML = Scheme(
    name="aa-mds-aml",
    unit="patient",
    primary="diagnosis",
    heads=(
        Head(
            name="mds",
            classes=("other", "MDS"),
            positive="MDS",
            label_from=LabelFrom(head="diagnosis", classes={"MDS": ("MDS",)}),
        ),
        Head(name="diagnosis", classes=("AA", "MDS", "AML")),
    ),
)
"""The two questions of Wang et al., Front Oncol 2022;12:844978."""
