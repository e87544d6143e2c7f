"""How measurements call a network: inputs, outputs, and the checks that come first."""

from sgdscope.network.calling import Network, outside_inference
from sgdscope.network.outputs import answers, joined, leaves, logits_of, picked, rebuilt
from sgdscope.network.preflight import Finding, Preflight, preflight
from sgdscope.network.requirements import of_answers

__all__ = [
    "Finding",
    "Network",
    "Preflight",
    "answers",
    "joined",
    "leaves",
    "logits_of",
    "of_answers",
    "outside_inference",
    "picked",
    "preflight",
    "rebuilt",
]
