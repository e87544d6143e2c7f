"""Plain training."""

from sgdscope.methods.base import METHODS, Method


@METHODS.add("plain")
class Plain(Method):
    """No method: nothing but the optimizer."""

    source = "—"
    helps = "a control to compare methods with"
    cost = "nothing"
