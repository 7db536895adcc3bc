"""Synthetic smears under File > Open Sample: drawn by a program, no patient."""

from __future__ import annotations

from typing import Any

from marrow.synthetic import cohort, render_field

LayerData = tuple[Any, dict[str, Any], str]
PIXEL_SIZE_UM = 0.2


def synthetic_aa() -> list[LayerData]:
    """A synthetic smear as of aplastic anaemia."""
    return _sample("AA")


def synthetic_mds() -> list[LayerData]:
    """A synthetic smear as of a myelodysplastic syndrome."""
    return _sample("MDS")


def synthetic_aml() -> list[LayerData]:
    """A synthetic smear as of acute myeloid leukaemia."""
    return _sample("AML")


def _sample(diagnosis: str) -> list[LayerData]:
    patient = cohort({diagnosis: 1})[0]
    field = render_field(patient, 0, size_px=512, pixel_size_um=PIXEL_SIZE_UM)
    shown = {
        "name": f"synthetic smear, {diagnosis} (no patient)",
        "rgb": True,
        "scale": (PIXEL_SIZE_UM, PIXEL_SIZE_UM),
        "units": ("um", "um"),
        "metadata": {"synthetic": True, "diagnosis": diagnosis},
    }
    return [(field.image, shown, "image")]
