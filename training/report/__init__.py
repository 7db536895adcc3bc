"""The report of a model: the figures that a journal asks for, and what they cannot show."""

from __future__ import annotations

from training.report.making import Made, make_report

__all__ = ["Made", "make_report"]
