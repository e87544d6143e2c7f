"""What an audit measures: by default a dozen measures, all at the same eps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sgdscope.measuring import MEASURES, Measure
from sgdscope.settings import checked

EPS = ("1/255", "2/255", "4/255", "8/255")
EXAMPLES = 1_000  # test images to attack, and training images to take curvature on
DEFAULT = (
    "test_accuracy", "calibration_error", "fgsm_accuracy", "pgd_accuracy", "pgd_margin_accuracy",
    "median_eps", "top_eigenvalue", "hessian_trace", "sam_sharpness", "asam_sharpness",
    "input_gradient_norm",
)  # fmt: skip


def chosen_measures(
    names: Sequence[str] = (),
    *,
    eps: Sequence[Any] = EPS,
    examples: int | None = EXAMPLES,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Measure]:
    """Measures by name, each with the eps and examples it takes.

    Args:
        names: of measures; empty for ``DEFAULT``.
        eps: of attacks.
        examples: images that a measure with such an option looks at; None: its default.
        options: of single measures, which take precedence.

    Raises:
        RequestError: a measure or an option is unknown, or a value is not valid.
    """
    given = options or {}
    wanted = list(dict.fromkeys([*(names or DEFAULT), *given]))
    found = {}
    for name in wanted:
        fields = MEASURES[name].model_fields
        shared: dict[str, Any] = {}
        if "eps" in fields:
            shared["eps"] = list(eps)
        if "examples" in fields and examples is not None:
            shared["examples"] = examples
        settings = shared | dict(given.get(name, {}))
        found[name] = checked(MEASURES[name], settings, where=f"measure {name}")
    return found
