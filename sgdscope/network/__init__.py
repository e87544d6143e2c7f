"""How measurements call a network: inputs, outputs, and the checks that come first."""

from sgdscope.network.calling import Network, outside_inference
from sgdscope.network.outputs import answers, leaves, logits_of, rebuilt
from sgdscope.network.preflight import Finding, Preflight, preflight

__all__ = [
    "Finding",
    "Network",
    "Preflight",
    "answers",
    "leaves",
    "logits_of",
    "outside_inference",
    "preflight",
    "rebuilt",
]
