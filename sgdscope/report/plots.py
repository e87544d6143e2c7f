"""A chart as a plotly figure; what all have in common is in the page's template."""

from __future__ import annotations

import math
from typing import Any

from sgdscope.charts import Chart
from sgdscope.report import traces
from sgdscope.results import style

FEW_EPOCHS = 10
INK, FAINT, RULE = traces.INK, "#7A808A", "#E7E9ED"
DARK = {INK: "#E8E9EC", FAINT: "#9AA1AC", RULE: "#2C3038", "#FFFFFF": "#22252B"}
_FONT = "system-ui, -apple-system, Segoe UI, sans-serif"
_AXIS: dict[str, Any] = {
    "gridcolor": RULE,
    "zeroline": False,
    "linecolor": FAINT,
    "ticks": "",
    "automargin": True,
    "ticklabeloverflow": "allow",
    "title": {"standoff": 8, "font": {"size": 12}},
    "tickformat": "~g",
}
TEMPLATE: dict[str, Any] = {
    "layout": {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": _FONT, "color": INK},
        # Room for most labels: where they need more, plotly draws the whole plot a second time.
        "margin": {"l": 46, "r": 22, "t": 18, "b": 46},
        "xaxis": {**_AXIS, "showgrid": False, "showline": True},
        "yaxis": _AXIS,
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": "#FFFFFF",
            "bordercolor": FAINT,
            "align": "left",
            "font": {"color": INK, "family": _FONT, "size": 12.5},
        },
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": FAINT, "activecolor": INK},
        "showlegend": False,
    }
}
# A second y axis, without a scale, for runs without a value: they are at its foot.
_FOOT = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}

Plot = dict[str, Any]
Choice = dict[str, str]


def plot(chart: Chart, choice: Choice) -> Plot:
    """A chart, shown if its ``choice`` is selected."""
    data = list(traces.of(chart))
    layout: dict[str, Any] = {"xaxis": _x(chart), "yaxis": _y(chart)}
    if any(trace.get("yaxis") == "y2" for trace in data):
        layout["yaxis2"] = _FOOT
    if chart.chance is not None:
        look = {"color": FAINT, "width": 1.2, "dash": "dot"}
        across = {"xref": "paper", "x0": 0, "x1": 1, "y0": chart.chance, "y1": chart.chance}
        layout["shapes"] = [{"type": "line", "line": look, "layer": "below", **across}]
    return {"panel": chart.title or chart.panel, "choice": choice, "data": data, "layout": layout}


def _x(chart: Chart) -> dict[str, Any]:
    scale = chart.x
    axis: dict[str, Any] = {
        "type": "log" if scale.log else "linear",
        "title": {"text": scale.label},
    }
    if scale.knob is not None:
        axis["tickvals"] = scale.knob.values
        axis["ticktext"] = [scale.knob.text(value) for value in scale.knob.values]
    if scale.falling:
        axis["autorange"] = "reversed"
    if scale.ends is not None:
        axis["range"] = list(scale.ends)
    last = max((curve.points["at"].max() for curve in chart.curves), default=0)
    if scale.label == "epoch" and last < FEW_EPOCHS:
        axis["dtick"] = 1  # there is no epoch 1.5
    return axis


def _y(chart: Chart) -> dict[str, Any]:
    axis: dict[str, Any] = {"type": "log" if chart.log else "linear"}
    if chart.window is not None:
        low, high = map(math.log10, chart.window)
        looks = {"dtick": 2, "tickformat": "", "exponentformat": "power"}
        return {"range": [low, high], **looks}
    if unit := style.unit(chart.measure):
        axis["title"] = {"text": unit}
    if chart.is_accuracy:
        axis["range"] = [-0.02, 1.02]
    return axis
