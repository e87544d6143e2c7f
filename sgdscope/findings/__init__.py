"""What was found: a few plain sentences, each with its number, interval and picture."""

from sgdscope.findings.finding import Finding, Trend
from sgdscope.findings.rules import find, of

__all__ = ["Finding", "Trend", "find", "of"]
