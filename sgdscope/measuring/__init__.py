"""What can be read off a trained network; importing this registers every measure."""

from sgdscope.measuring import fit, robustness, sharpness
from sgdscope.measuring.base import Measure, Reading, Subject

__all__ = ["Measure", "Reading", "Subject", "fit", "robustness", "sharpness"]
