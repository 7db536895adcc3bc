"""What a person would check first when something does not work, each with its remedy."""

from marrow.doctor.examination import examine
from marrow.doctor.finding import Finding

__all__ = ["Finding", "examine"]
