"""Where runs are carried out: on this machine, or on a cluster."""

from sgdscope.engines.base import Engine, Job
from sgdscope.engines.local import LocalEngine

__all__ = ["Engine", "Job", "LocalEngine"]
