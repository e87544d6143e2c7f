"""Plain training."""

from sgdscope.methods.base import METHODS, Method


@METHODS.add("plain")
class Plain(Method):
    """Nothing but the optimizer: a line to compare methods with."""

    source = "—"
    helps = "as the control"
    cost = "nothing"
