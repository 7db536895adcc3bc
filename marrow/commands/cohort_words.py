"""The cohort of a training as a person reads it before it is queued."""

from __future__ import annotations

from marrow.cohort_preview import ClassCount, CohortPreview


def cohort_text(found: CohortPreview) -> str:
    """Who would train, be tested and be left out, a line for each thing that there is to say."""
    classes = ", ".join(f"{_name(one, found)} {one.train + one.test}" for one in found.classes)
    lines = [f"{found.patients} patients ({classes}), {found.smears} smears"]
    if found.test != "none":
        tested = ", ".join(f"{_name(one, found)} {one.test}" for one in found.classes)
        lines.append(f"test patients, {found.test}: {found.test_patients} ({tested})")
    lines += [
        f"held out: site {one.site}, {one.patients} patients, {one.smears} smears"
        for one in found.held_out
    ]
    if found.open_sites:
        lines.append(f"sites that can be held out: {', '.join(found.open_sites)}")
    if found.locked_sites:
        lines.append(f"locked sites, which no training sees: {', '.join(found.locked_sites)}")
    lines += [f"left out: {count} smears, {reason}" for reason, count in found.excluded.items()]
    lines.append("whether each file can be read is not looked at")
    if found.trouble is not None:
        lines.append(f"It would be refused: {found.trouble}")
    return "\n".join(lines)


def _name(one: ClassCount, found: CohortPreview) -> str:
    return f"without {found.head}" if one.name is None else one.name
