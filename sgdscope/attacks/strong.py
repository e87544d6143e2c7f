"""The lowest accuracy that several attacks together reach: the number to trust."""

from __future__ import annotations

from torch import Tensor, nn

from sgdscope.attacks.apgd import Apgd, Targeted
from sgdscope.attacks.descent import FixedSteps, SingleStep
from sgdscope.attacks.evaluation import Tactic, evaluate
from sgdscope.attacks.points import Attacked, Norm, Radii
from sgdscope.attacks.square import SquareSearch

STARTS = 4  # of APGD-CE: the cheapest way to the points that one start happens to miss


def strong(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    eps: Radii,
    steps: int = 100,
    queries: int = 1000,
    norm: Norm = "linf",
    seed: int = 0,
    give_up: bool = True,
) -> list[Attacked]:
    """FGSM and a short PGD for the easy points, then APGD-CE, APGD-T and, for ℓ∞ images, Square.

    After AutoAttack (Croce and Hein 2020), with more starts in place of its FAB: APGD-CE has four,
    and APGD-T again one towards the three likeliest wrong classes. ``Attacked.by`` says which
    attack fooled a point; if only Square fools it, gradients mislead the others. There are
    ``steps`` in each run of APGD and ``queries`` of Square.
    """
    tactics: dict[str, Tactic] = {
        "fgsm": SingleStep(norm),
        "pgd": FixedSteps(10, 1 / 4, "margin", norm, seed, None, give_up),
        **{
            f"apgd-ce {start + 1}": Apgd(steps, "cross_entropy", norm, seed, start, give_up)
            for start in range(STARTS)
        },
        "apgd-t": Targeted(steps, norm, seed, give_up=give_up),
        "apgd-t again": Targeted(steps, norm, seed, 3, give_up, start=1),
    }
    if norm == "linf" and inputs.dim() == 4:
        tactics["square"] = SquareSearch(queries, seed, give_up)
    return evaluate(model, inputs, labels, eps=eps, tactics=tactics, loss="margin", norm=norm)
