"""The trend of several networks together, where that of each is too uncertain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sgdscope.claims import statistics
from sgdscope.claims.statistics import Estimate
from sgdscope.findings.finding import Trend

LEAST = 4  # networks: an interval over fewer is too wide to say anything


def pooled(trends: Sequence[Trend]) -> Trend | None:
    """The mean over networks, which are the unit: its interval holds for networks like these.

    A network's trend is the mean of its lines'. The sample is that of the case nearest to the mean.

    Args:
        trends: of one schedule and family of quantities.

    Returns:
        None for fewer than four networks, or those that differ in what was measured, or where one
        certainly rises and another certainly falls: a mean would hide that.
    """
    measures = {trend.quantity.measure for trend in trends}
    courses = {trend.course for trend in trends}
    networks = {trend.panel for trend in trends}
    if len(networks) < LEAST or len(measures) > 1 or {"rises", "falls"} <= courses:
        return None
    end = _mean([(trend.panel, trend.end) for trend in trends])
    matched = [(trend.panel, trend.equal) for trend in trends if trend.equal is not None]
    # A mean over fewer lines would be of others than the mean it is compared with.
    equal = _mean(matched) if len(matched) == len(trends) else None
    why_not = next((trend.why_not for trend in trends if trend.equal is None), "")
    nearest = min(trends, key=lambda trend: abs(trend.end.value - end.value))
    return replace(
        nearest, end=end, equal=equal, same=False, equal_same=False, why_not=why_not
    )  # fmt: skip


def _mean(found: Sequence[tuple[str, Estimate]]) -> Estimate:
    by_network: dict[str, list[float]] = {}
    for panel, estimate in found:
        by_network.setdefault(panel, []).append(estimate.value)
    means = np.array([np.mean(values) for values in by_network.values()])
    return statistics.mean(means, np.arange(len(means)))
