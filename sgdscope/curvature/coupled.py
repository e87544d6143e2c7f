"""The curvature of a loss of all the examples at once, which is not a mean over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sgdscope.curvature.losses import ExampleLoss, slopes_of
from sgdscope.errors import RequestError
from sgdscope.network import joined, leaves, rebuilt

Parts = Sequence[Tensor]


class Coupled:
    """Products with ∇²ℓ(f₁ … f_N) = Jᵀ(∇²ℓ)J + Σ (∂ℓ/∂f) ∇²f, chunk by chunk of the examples.

    One pass over the chunks gives Jv and the second term, for Jᵀu with u = ∂ℓ/∂f is linear in u and
    in the direction of its derivative; ∇²ℓ couples the chunks; another pass gives Jᵀ of what comes
    of it.

    Args:
        loss: of all the examples.
        chunks: which examples go together.
        outputs: the network's, of some examples, without a graph.
        parameters: that the matrix is in.

    Raises:
        RequestError: the outputs do not have one row per example, or the loss depends on the
            parameters other than through the outputs.
    """

    def __init__(
        self,
        loss: ExampleLoss,
        chunks: Sequence[slice],
        outputs: Callable[[slice], Any],
        labels: Tensor,
        parameters: Parts,
    ) -> None:
        self._chunks, self._parameters = chunks, parameters
        sizes = [chunk.stop - chunk.start for chunk in chunks]
        whole = joined([outputs(chunk) for chunk in chunks], sizes=sizes)
        for leaf in leaves(whole):
            if not leaf.dim() or len(leaf) != len(labels):
                raise RequestError(
                    "the loss is not a mean over examples, and the network's outputs have shape "
                    f"{tuple(leaf.shape)}; expected one row per example"
                )
        loss.refuse_direct(whole, labels, parameters)
        with torch.enable_grad():
            self._ends = [leaf.detach().requires_grad_() for leaf in leaves(whole)]
            value = loss(rebuilt(whole, iter(self._ends)), labels)
            self._slopes = slopes_of(value, self._ends, again=True)

    def linearise(self, outputs: Any, chosen: slice) -> tuple[Any, ...]:
        """The graph that a chunk's products are read from."""
        return pulled_back(leaves(outputs), [s[chosen] for s in self._slopes], self._parameters)

    def gradient(self, graph: tuple[Any, ...]) -> list[Tensor]:
        """A chunk's share of the gradient, by parameter."""
        return [part.detach() for part in graph[2]]

    def multiply(
        self,
        vector: Parts,
        total: Parts,
        graph: Callable[[int], tuple[Any, ...]],
        *,
        residual: bool,
    ) -> None:
        """Add a product to ``total``, by parameter.

        Args:
            vector: the direction, by parameter.
            total: what the product is added to.
            graph: of the chunk that starts at an example.
            residual: with the second term; without it, it is the Gauss–Newton matrix's.
        """
        pushed: list[list[Tensor]] = [[] for _ in self._ends]
        for chunk in self._chunks:
            _, probes, pulled = graph(chunk.start)
            linear = [(p, v) for p, v in zip(pulled, vector, strict=True) if p.requires_grad]
            wanted = [*probes, *self._parameters] if residual else probes
            parts, directions = zip(*linear, strict=True)
            found = torch.autograd.grad(
                parts, wanted, directions, retain_graph=True, materialize_grads=True
            )
            for column, moved in zip(pushed, found, strict=False):
                column.append(moved)
            for whole, share in zip(total, found[len(probes) :], strict=False):
                whole += share
        self._pull([torch.cat(column) for column in pushed], total, graph)

    def _pull(self, pushed: Parts, total: Parts, graph: Callable[[int], tuple[Any, ...]]) -> None:
        """Add Jᵀ(∇²ℓ)(Jv) to ``total``."""
        curved = [(s, m) for s, m in zip(self._slopes, pushed, strict=True) if s.requires_grad]
        if not curved:
            return
        slopes, directions = zip(*curved, strict=True)
        images = torch.autograd.grad(
            slopes, self._ends, directions, retain_graph=True, materialize_grads=True
        )
        for chunk in self._chunks:
            rows, _, _ = graph(chunk.start)
            moved = [(r, image[chunk]) for r, image in zip(rows, images, strict=True)]
            live, moves = zip(*((r, move) for r, move in moved if r.requires_grad), strict=True)
            shares = torch.autograd.grad(
                live, self._parameters, moves, retain_graph=True, materialize_grads=True
            )
            for whole, share in zip(total, shares, strict=True):
                whole += share


def pulled_back(rows: Parts, slopes: Parts, parameters: Parts) -> tuple[Any, ...]:
    """Outputs, slopes in them to differentiate by, and Jᵀ of these slopes by parameter."""
    probes = [slope.detach().requires_grad_() for slope in slopes]
    live = [number for number, row in enumerate(rows) if row.requires_grad]
    pulled = torch.autograd.grad(
        [rows[n] for n in live], parameters, [probes[n] for n in live],
        create_graph=True, materialize_grads=True,
    )  # fmt: skip
    return rows, probes, pulled
