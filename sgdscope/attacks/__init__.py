"""Adversarial attacks on any ``nn.Module`` and any inputs in [0, 1]."""

from sgdscope.attacks.descent import fgsm, pgd
from sgdscope.attacks.points import Attacked

__all__ = ["Attacked", "fgsm", "pgd"]
