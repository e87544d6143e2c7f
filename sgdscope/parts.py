"""What a part of your own imports: the base class of each kind, and its registry.

A study file names the Python files with such parts under ``plugins``; each registers its parts by a
decorator, for example ``@SCHEDULES.add("halving")``.
"""

from sgdscope.claims import CLAIMS, Claim, Evidence, Finding, Sample, Verdict
from sgdscope.data import DATA, Dataset, DataSource, HubImages, Images, split
from sgdscope.errors import RequestError
from sgdscope.measuring import MEASURES, Card, Measure, Reading, Subject
from sgdscope.measuring.robustness import AttackAccuracy
from sgdscope.methods import METHODS, Batch, Method, Pass
from sgdscope.models import MODELS, ModelBuilder
from sgdscope.optimizers import OPTIMIZERS, Optimizer, Updates
from sgdscope.study.schedules import SCHEDULES, Schedule

__all__ = [
    "CLAIMS",
    "DATA",
    "MEASURES",
    "METHODS",
    "MODELS",
    "OPTIMIZERS",
    "SCHEDULES",
    "AttackAccuracy",
    "Batch",
    "Card",
    "Claim",
    "DataSource",
    "Dataset",
    "Evidence",
    "Finding",
    "HubImages",
    "Images",
    "Measure",
    "Method",
    "ModelBuilder",
    "Optimizer",
    "Pass",
    "Reading",
    "RequestError",
    "Sample",
    "Schedule",
    "Subject",
    "Updates",
    "Verdict",
    "split",
]
