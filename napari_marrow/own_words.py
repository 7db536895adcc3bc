"""What a reader says of each smear: as the catalogue has it, and as it was said here since."""

from __future__ import annotations

from collections.abc import Mapping


class OwnWords:
    """One reader's answers by smear and head; "": no answer."""

    def __init__(self) -> None:
        self._read: dict[int, dict[str, str]] = {}
        self._said: dict[int, dict[str, str]] = {}

    def own(self, smear_id: int) -> dict[str, str]:
        """What he says, as far as it is known here."""
        return {**self._read.get(smear_id, {}), **self.said(smear_id)}

    def said(self, smear_id: int) -> Mapping[str, str]:
        """What he said here and the catalogue may lack."""
        return self._said.get(smear_id, {})

    def note_read(self, smear_id: int, answers: Mapping[str, str]) -> None:
        """The catalogue has these answers of his, perhaps given elsewhere."""
        self._read[smear_id] = dict(answers)

    def say(self, smear_id: int, answers: Mapping[str, str]) -> dict[str, str | None]:
        """He says this now; returns what he said of these heads before, None: not known here."""
        own = self.own(smear_id)
        self._said[smear_id] = {**self.said(smear_id), **answers}
        return {head: own.get(head) for head in answers}

    def restore(self, smear_id: int, before: Mapping[str, str | None]) -> None:
        """He says again what he said before."""
        for head, answer in before.items():
            for known in (self._read, self._said):
                known.get(smear_id, {}).pop(head, None)
            if answer is not None:
                self._said.setdefault(smear_id, {})[head] = answer

    def settle(self) -> None:
        """The catalogue has all that was said here."""
        for smear_id, answers in self._said.items():
            self._read.setdefault(smear_id, {}).update(answers)
        self._said = {}
