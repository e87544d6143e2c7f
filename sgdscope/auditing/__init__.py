"""Trained networks: opened, checked, measured, compared, tested against requirements."""

from sgdscope.auditing.comparison import Comparison, compare
from sgdscope.auditing.driver import Audit, audit
from sgdscope.auditing.requirement import Requirement

__all__ = ["Audit", "Comparison", "Requirement", "audit", "compare"]
