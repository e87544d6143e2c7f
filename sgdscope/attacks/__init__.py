"""Adversarial attacks on any ``nn.Module`` and any inputs in [0, 1].

Attacks take the arguments below that apply to them, those after ``labels`` by name, and return one
``Attacked`` per eps:

    model: evaluation mode; pixels in [0, 1] to logits, or to outputs that contain logits.
    inputs: (N, …) in [0, 1], as the model takes them; float16 and bfloat16 too.
    labels: (N,) whole numbers.
    eps: radii in pixel units: one or several, as numbers, text such as "8/255", or a tensor.
    loss: what to increase.
    norm: of the ball.
    targets: (N,) classes that the network should predict; without them any wrong answer counts.
    seed: of random starts and searches.
    give_up: abandon a point whose boundary is out of reach (see ``reach.Reach``).

What cannot be attacked raises ``RequestError``: a model in training mode or without logits, inputs
outside [0, 1], labels that are not classes of the model, an eps below 0 or, in ℓ∞, above 1.
Anything else found about the model, such as random answers, is in ``Attacked.flags``.
"""

from sgdscope.attacks.apgd import apgd, apgd_targeted
from sgdscope.attacks.curve import SmallestEps, area, smallest_eps
from sgdscope.attacks.descent import bim, fgsm, pgd
from sgdscope.attacks.evidence import Evidence, gather
from sgdscope.attacks.points import Attacked
from sgdscope.attacks.square import square
from sgdscope.attacks.strong import strong

ATTACKS = (fgsm, bim, pgd, apgd, apgd_targeted, square, strong)

__all__ = [
    "ATTACKS",
    "Attacked",
    "Evidence",
    "SmallestEps",
    "apgd",
    "apgd_targeted",
    "area",
    "bim",
    "fgsm",
    "gather",
    "pgd",
    "smallest_eps",
    "square",
    "strong",
]
