"""Networks that exist already: opened, looked at, measured, compared, held to a requirement."""

from sgdscope.auditing.comparison import Comparison, compare
from sgdscope.auditing.driver import Audit, audit
from sgdscope.auditing.requirement import Requirement

__all__ = ["Audit", "Comparison", "Requirement", "audit", "compare"]
