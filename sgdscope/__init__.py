"""sgdscope: what SGD's knobs do to a network — generalisation, curvature, robustness."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgdscope.auditing.driver import audit
    from sgdscope.errors import RequestError, RunsFailedError, SgdscopeError
    from sgdscope.execution.driver import run
    from sgdscope.results.tables import Results
    from sgdscope.study.run import Run
    from sgdscope.study.study import Study
    from sgdscope.watching.watch import Watch

__version__ = version("sgdscope")
__all__ = [
    "RequestError",
    "Results",
    "Run",
    "RunsFailedError",
    "SgdscopeError",
    "Study",
    "Watch",
    "__version__",
    "audit",
    "run",
]

_HOMES = {
    "RequestError": "errors",
    "Results": "results.tables",
    "Run": "study.run",
    "RunsFailedError": "errors",
    "SgdscopeError": "errors",
    "Study": "study.study",
    "Watch": "watching.watch",
    "audit": "auditing.driver",
    "run": "execution.driver",
}


def __getattr__(name: str) -> Any:
    """Import a public name's home when it is first asked for, so that ``--help`` needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sgdscope' has no attribute {name!r}")
    return getattr(import_module(f"sgdscope.{_HOMES[name]}"), name)
