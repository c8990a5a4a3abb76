"""The report of a study: what was learnt, who was there, what it moved, under which plan."""

from wardround.report.comparison import Comparison, Row, Score, compare
from wardround.report.page import write_report

__all__ = ["Comparison", "Row", "Score", "compare", "write_report"]
