"""Whether an optimizer can train a network, and resume bit-identically from its state."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from sgdscope import streams
from sgdscope.errors import RequestError, reason
from sgdscope.network.state import copied
from sgdscope.optimizers.base import Optimizer, Updates

UPDATES = 2  # before and after the interruption


def check(rule: Optimizer, network: nn.Module, *, name: str) -> None:
    """Make a few updates, uninterrupted and interrupted, from the same made-up gradients.

    Args:
        rule: with its options.
        network: left as it is.
        name: of the optimizer.

    Raises:
        RequestError: it cannot make them, or the results differ.
    """
    try:
        whole, cut = copied(network), copied(network)
        _train(rule.bind(list(whole.parameters())), range(2 * UPDATES))
        before = rule.bind(list(cut.parameters()))
        _train(before, range(UPDATES))
        after = rule.bind(list(cut.parameters()))
        after.restore({key: value.clone() for key, value in before.state().items()})
        _train(after, range(UPDATES, 2 * UPDATES))
    except Exception as error:  # whatever somebody else's code says
        raise RequestError(f"optimizer.{name}: {reason(error)}") from error
    pairs = zip(whole.parameters(), cut.parameters(), strict=True)
    if not all(torch.equal(one, other) for one, other in pairs):
        raise RequestError(
            f"optimizer.{name}: an interrupted run would not end with the same bits, because it "
            "keeps state outside its state_dict; expected one that resumes from its state_dict "
            "alone"
        )


def _train(updates: Updates, steps: Iterable[int]) -> None:
    for step in steps:
        updates.switch(training=True)
        updates.set_learning_rate(1e-3)
        updates.zero_gradients()
        with streams.seeded(0, "check", step):  # whatever the rule draws itself
            for parameter in updates.parameters:
                parameter.grad = torch.randn(parameter.shape).to(parameter)
            updates.step()
        updates.switch(training=False)
