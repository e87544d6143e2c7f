"""Whether a network is a fixed function of one input, tested before anything is measured.

A number measured on a network means something only if the network's answer to an input depends on
that input alone. A few points are evaluated several times: together, again, in another order,
alone, among other points, and with gradients. Nothing stays changed: modes, buffers, gradients and
the global random streams are restored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from sgdscope.errors import RequestError
from sgdscope.network.asking import Asked, CannotBeAskedError
from sgdscope.network.calling import Network, outside_inference, usable
from sgdscope.network.requirements import Finding, of_inputs, of_labels, of_model
from sgdscope.network.state import Touched, untouched

__all__ = ["Finding", "Preflight", "preflight"]

FEW = 10  # points that the network is evaluated on


@dataclass(frozen=True)
class Preflight:
    """What was found."""

    findings: tuple[Finding, ...]
    classes: int | None = None  # of logits (N, classes)
    differentiable: bool = True  # the outputs have a graph that leads to the inputs

    @property
    def flags(self) -> tuple[str, ...]:
        """Reasons not to trust a number measured on this network, one sentence each."""
        return tuple(str(found) for found in self.findings if found.level != "note")

    def names(self) -> set[str]:
        """Of the findings."""
        return {found.name for found in self.findings}

    def require(self) -> Preflight:
        """Itself, if anything can be measured at all.

        Raises:
            RequestError: the first finding that rules measuring out.
        """
        for found in self.findings:
            if found.level == "refuse":
                raise RequestError(str(found))
        return self


@outside_inference()
def preflight(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor | None = None,
    *,
    pixels: bool = True,
    logits: bool = True,
) -> Preflight:
    """Evaluate a network on the first few inputs, about 60 images in all, and report what is wrong.

    Args:
        model: the network.
        inputs: (N, …).
        labels: (N,), if they are classes.
        pixels: whether inputs have to be in [0, 1].
        logits: whether outputs have to be logits, (N, classes).
    """
    found = list(of_model(model))
    inputs = inputs.detach() if isinstance(inputs, Tensor) else inputs
    if not found:
        found += of_inputs(model, inputs, pixels=pixels)
    if labels is not None and logits and not found:
        found += of_labels("labels", labels, len(inputs))
    if any(finding.level == "refuse" for finding in found):
        return Preflight(tuple(found))
    with untouched(model) as touched:
        asked = Asked(Network(model), usable(inputs[:FEW]))
        try:
            found += asked.findings(logits=logits)
        except CannotBeAskedError as failed:
            found.append(failed.finding)
    found += _of_touched(touched, asked)
    if labels is not None and asked.classes is not None:
        found += of_labels("labels", labels, len(inputs), classes=asked.classes)
    return Preflight(tuple(found), asked.classes, asked.differentiable)


def _of_touched(touched: Touched, asked: Asked) -> Iterator[Finding]:
    if touched.tensors:
        more = len(touched.tensors) - 1
        yield Finding(
            "buffers",
            f"the network changes its own {touched.tensors[0]!r} when it is called"
            + (f", and {more} more" if more else ""),
            "expected evaluation mode to leave it as it is",
        )
    if touched.modes:
        yield Finding(
            "mode",
            f"the network switches training mode ({touched.modes[0]}) when it is called",
            "expected it to stay in evaluation mode",
        )
    if touched.randomness and not asked.changing:
        yield Finding(
            "random",
            "the network draws random numbers, or seeds them, when it is called",
            "its outputs agreed here, but may not in general",
        )
