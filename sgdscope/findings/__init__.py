"""What was found: a few plain sentences, each with its number, interval and picture."""

from sgdscope.findings.finding import Finding, Trend
from sgdscope.findings.judged import Judged
from sgdscope.findings.rules import find

__all__ = ["Finding", "Judged", "Trend", "find"]
