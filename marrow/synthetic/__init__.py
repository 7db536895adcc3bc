"""Procedural bone-marrow smears with known truth, for samples, demonstrations and tests.

Nothing here shows a real patient. Every image, file name and PNG text chunk that this
package makes says "synthetic"; the pictures must never be used to judge a person's marrow.
"""

from __future__ import annotations

from marrow.synthetic.cells import SyntheticCell
from marrow.synthetic.cohort import Patient, Stain, cohort
from marrow.synthetic.fields import SyntheticField, render_field
from marrow.synthetic.files import write_cohort

__all__ = [
    "Patient",
    "Stain",
    "SyntheticCell",
    "SyntheticField",
    "cohort",
    "render_field",
    "write_cohort",
]
