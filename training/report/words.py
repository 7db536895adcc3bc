"""Sentences that stand in several places of a report."""

from __future__ import annotations

RESEARCH_ONLY = "Research use only. Not for diagnosis, and not a medical device."

WITHOUT_INTERVAL = (
    "A dash in place of an interval means that it cannot be estimated from these data; the CSV "
    "gives the reason for each."
)

PAPER = "Wang et al., Front Oncol 2022;12:844978"


def intervals_text(unit: str) -> str:
    """What a caption says of unit and intervals; `unit` is `patients` or `images`."""
    return (
        f"Unit: the {unit.removesuffix('s')}; n: denominator; brackets: 95% intervals (section 2)."
    )


def sentence(text: str) -> str:
    """A note as a sentence: a capital at its beginning, a stop at its end."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def methods_text(unit: str) -> str:
    """How to read the tables and how their intervals were made."""
    if unit == "patients":
        return (
            "Figures count patients, each once: the probability is the mean over the "
            "patient's smears. Brackets hold 95% intervals: of shares by Wilson 1927; of the AUC "
            "of one class by DeLong 1988 on the logit scale; of macro AUC, balanced accuracy, "
            "Brier score and calibration error by a bootstrap of 2,000 draws of patients. The n "
            f"beside a figure is its denominator. {WITHOUT_INTERVAL}"
        )
    return (
        "Figures count images, but images of one patient are not independent: every 95% "
        "interval (brackets) comes from a bootstrap of 2,000 draws of patients, each with all of "
        f"its images. The n beside a figure is its denominator. {WITHOUT_INTERVAL}"
    )


SEED_BANNER = (
    "Protocol seed2022: images were split after augmentation, so that copies of one smear train "
    "and test; copies count as n, and the intervals are far too narrow. For replication of the "
    "paper only, never a measure of how good the model is."
)
"""Stands on every table that holds a figure of the paper's protocol."""
