"""Measures of a trained network; importing this registers all of them."""

from sgdscope.measuring import fit, robustness, sharpness, spectrum
from sgdscope.measuring.base import MEASURES, Measure, Reading, Subject, card_of
from sgdscope.measuring.card import Card

__all__ = [
    "MEASURES",
    "Card",
    "Measure",
    "Reading",
    "Subject",
    "card_of",
    "fit",
    "robustness",
    "sharpness",
    "spectrum",
]
