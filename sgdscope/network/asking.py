"""Evaluating a network on a few points in several ways, to see whether the answers agree."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress
from typing import Any

import torch
from torch import Tensor

from sgdscope.errors import RequestError, out_of_memory, reason
from sgdscope.network.calling import Network, unhooked
from sgdscope.network.outputs import leaves, logits_of
from sgdscope.network.requirements import Finding, of_outputs

SAME = 1e-5  # share by which two passes over the same points may differ


class CannotBeAskedError(Exception):
    """The network raised."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


class Asked:
    """A network's answers on a few points, evaluated in several ways."""

    def __init__(self, network: Network, few: Tensor) -> None:
        self.network, self.few = network, few
        self.classes: int | None = None
        self.differentiable = True
        self.changing = False  # answers to the same points differ

    def findings(self, *, logits: bool) -> Iterator[Finding]:
        """What was found. Raises CannotBeAskedError if the network cannot be called at all."""
        outputs, first = self._first()
        if logits:
            try:
                scores = logits_of(outputs).detach().clone()
            except RequestError as error:
                sentence, advice = str(error).split("; ", 1)
                raise CannotBeAskedError(Finding("outputs", sentence, advice, "refuse")) from None
            yield from (found := list(of_outputs(self.few, scores)))
            if any(finding.level == "refuse" for finding in found):
                return
            self.classes, first = scores.shape[1], [scores]
        yield from self._repeated(first)
        if not self.changing:
            yield from self._in_other_batches(first)
        if self.few.is_floating_point():
            yield from self._with_gradients(first)

    def _first(self) -> tuple[Any, list[Tensor]]:
        """The answers to the points, or to fewer where memory runs out."""
        while True:
            try:
                return self._outputs(self.few)
            except CannotBeAskedError as failed:
                if len(self.few) == 1 or not out_of_memory(failed.__cause__):
                    raise
                self.few = self.few[: len(self.few) // 2]

    def _outputs(self, inputs: Tensor) -> tuple[Any, list[Tensor]]:
        try:
            with torch.no_grad():
                outputs = self.network(inputs)
        except Exception as error:
            raise CannotBeAskedError(self._failure(inputs, error)) from error
        return outputs, [leaf.detach().clone() for leaf in leaves(outputs)]

    def _rows(self, inputs: Tensor) -> list[Tensor]:
        """The answers: the logits if only they matter, otherwise all outputs."""
        outputs, rows = self._outputs(inputs)
        return rows if self.classes is None else [logits_of(outputs).detach().clone()]

    def _differ(
        self,
        left: list[Tensor],
        right: list[Tensor],
        share: float,
        like: list[Tensor] | None = None,
    ) -> bool:
        """Whether answers differ by more than this share of the largest one, or of their own size.

        Of logits the two largest at each point count: a class that is masked out may have any.
        """
        if len(left) != len(right):
            return True
        for mine, theirs, whole in zip(left, right, like or left, strict=True):
            if mine.shape != theirs.shape:
                return True
            largest = whole if self.classes is None else whole.topk(2, dim=1).values
            within = share * largest.abs().nan_to_num(0, 0, 0).amax().item() if whole.numel() else 0
            if not torch.allclose(mine, theirs, rtol=share, atol=within, equal_nan=True):
                return True
        return False

    def _repeated(self, first: list[Tensor]) -> Iterator[Finding]:
        second = self._rows(self.few)
        alike = SAME if first and first[0].device.type == "cpu" else self._rounding(first)
        if self._differ(first, second, alike):
            self.changing = True
            yield Finding(
                "random",
                "the network is randomised: two passes over the same inputs differ",
                "make it deterministic in evaluation mode, or treat every number as one random "
                "draw",
            )

    def _in_other_batches(self, first: list[Tensor]) -> Iterator[Finding]:
        """Whether a point's answer stays the same when its batch changes: order, content, size."""
        rounding = self._rounding(first)
        by_row = [len(rows) == len(self.few) if rows.dim() else False for rows in first]
        for way, inputs, places in self._ways():
            try:
                rows = self._rows(inputs)
            except CannotBeAskedError as failed:
                seen, advice = (
                    failed.finding.seen,
                    "expected a network that accepts any number of points",
                )
                yield Finding("batch size", seen, advice)
                continue
            if any(not r.dim() or len(r) != len(inputs) for r in compress(rows, by_row)):
                seen = f"the network's output for {len(inputs)} points is {tuple(rows[0].shape)}"
                yield Finding(
                    "batch size", seen, "expected one row per point, for any number of points"
                )
                continue
            theirs = [r[places] for r in compress(rows, by_row)]
            mine = [r[: len(places)] for r in compress(first, by_row)]
            if self._differ(mine, theirs, rounding, like=list(compress(first, by_row))):
                yield Finding(
                    "batch",
                    f"the network's answer to a point depends on the rest of its batch ({way})",
                    "expected each answer to depend on its own input alone, as with kept "
                    "statistics of BatchNorm",
                )
                return
        if self._differ(first, self._rows(self.few), SAME):
            yield Finding(
                "memory",
                "the network's output depends on its earlier inputs",
                "expected a network without memory",
            )

    def _ways(self) -> Iterator[tuple[str, Tensor, list[int]]]:
        """The batches to try, and where the first points are in each."""
        few = self.few
        yield "the others' order", few.flip(0), list(range(len(few)))[::-1]
        if few.is_floating_point():
            others = few.amin() + few.amax() - few
            company = others[1:] if len(few) > 1 else others
            yield "what the others are", torch.cat([few[:1], company]), [0]
        yield "how many there are", few[:1], [0]

    def _with_gradients(self, first: list[Tensor]) -> Iterator[Finding]:
        points = self.few.clone().requires_grad_()
        parameters = [p for p in self.network.model.parameters() if p.requires_grad]
        try:
            outputs = self.network(points)
            rows = leaves(outputs) if self.classes is None else [logits_of(outputs)]
            graphs = [part for part in rows if part.requires_grad]
            with unhooked(parameters):
                slopes = _slopes(graphs, [points, *parameters])
        except (RuntimeError, RequestError) as error:
            if out_of_memory(error):
                return
            self.differentiable = False
            yield Finding(
                "gradient",
                f"the network cannot be differentiated: {reason(error)}",
                "gradient attacks cannot take a step; square needs no gradient",
            )
            return
        plain = [row.detach() for row in rows]
        if not self.changing and self._differ(first, plain, self._rounding(first)):
            yield Finding(
                "gradient",
                "the network's output changes when gradients are enabled",
                "expected the same function",
            )
        yield from self._of_slopes(slopes[0], slopes[1:], bool(parameters))

    def _of_slopes(
        self, slope: Tensor | None, others: list[Tensor | None], trained: bool
    ) -> Iterator[Finding]:
        advice = "gradient attacks cannot take a step; square needs no gradient"
        if slope is None:
            self.differentiable = False
            yield Finding("gradient", "no gradient reaches the network's inputs", advice)
        elif not bool(slope.isfinite().all()):
            count = int((~slope.isfinite()).flatten(1).any(1).sum())
            seen = f"the gradient in the inputs is not finite at {count} of {len(slope)} points"
            yield Finding("gradient", seen, "it is treated as zero there")
        elif not bool(slope.any()):
            yield Finding("gradient", "the gradient in the inputs is zero throughout", advice)
        if trained and all(other is None for other in others):
            yield Finding(
                "parameters",
                "no gradient reaches the network's parameters",
                "expected a network that depends on them by autograd",
                "note",
            )

    def _failure(self, inputs: Tensor, error: Exception) -> Finding:
        dtypes = {p.dtype for p in self.network.model.parameters() if p.is_floating_point()}
        if inputs.is_floating_point() and len(dtypes) == 1 and inputs.dtype not in dtypes:
            expected = (
                f"expected {dtypes.pop()}, like the network's parameters, or a network in "
                f"{inputs.dtype}, such as model.to({inputs.dtype})"
            )
            return Finding("fails", f"inputs are {inputs.dtype}", expected, "refuse")
        seen, _, advice = reason(error).rpartition("; ")
        return Finding("fails", seen or reason(error), advice, "refuse")

    def _rounding(self, first: list[Tensor]) -> float:
        """By what share the answers of batches of other sizes may differ."""
        dtypes = [rows.dtype for rows in first] + [self.few.dtype]
        dtypes += [parameter.dtype for parameter in self.network.model.parameters()]
        device = self.few.device.type
        if torch.is_autocast_enabled(device):
            dtypes.append(torch.get_autocast_dtype(device))
        widths = [torch.finfo(dtype).eps for dtype in dtypes if dtype.is_floating_point]
        share: float = max(widths, default=0.0) ** 0.5
        return max(share, 1e-2) if device == "cuda" else share  # TF32 has 10 bits


def _slopes(outputs: list[Tensor], wanted: list[Tensor]) -> list[Tensor | None]:
    """The gradient of a sum in which nothing cancels; None where the sum does not depend on it."""
    if not outputs:
        return [None] * len(wanted)
    parts = [(part * _weights(part)).sum() for part in outputs]
    return list(torch.autograd.grad(sum(parts[1:], parts[0]), wanted, allow_unused=True))


def _weights(like: Tensor) -> Tensor:
    return torch.arange(1, like.numel() + 1, device=like.device).cos().view_as(like).to(like)
