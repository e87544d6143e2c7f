"""Adversarial attacks on any ``nn.Module`` and any inputs in [0, 1]."""

from sgdscope.attacks.apgd import apgd, apgd_targeted
from sgdscope.attacks.curve import SmallestEps, area, smallest_eps
from sgdscope.attacks.descent import bim, fgsm, pgd
from sgdscope.attacks.evidence import Evidence, gather
from sgdscope.attacks.points import Attacked
from sgdscope.attacks.square import square
from sgdscope.attacks.strong import strong

__all__ = [
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
