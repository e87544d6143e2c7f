"""What can be read off a trained network; importing this registers every measure."""

from sgdscope.measuring import fit, robustness, sharpness
from sgdscope.measuring.base import MEASURES, Measure, Reading, Subject

__all__ = ["MEASURES", "Measure", "Reading", "Subject", "fit", "robustness", "sharpness"]
