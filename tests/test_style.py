import pandas as pd
import pytest

from sgdscope.results import style
from sgdscope.study.line import Choice, Line


def lines(*settings: tuple[str, dict[str, float], float]) -> list[style.DrawnLine]:
    return style.lines(
        Line(
            (
                Choice("schedule", schedule, tuple(options.items())),
                Choice("optimizer", "sgd", (("momentum", momentum),), (("momentum", "m"),)),
            )
        )
        for schedule, options, momentum in settings
    )


def test_the_papers_colours() -> None:
    found = lines(("step-decay", {}, 0.9), ("constant-ratio", {}, 0.0), ("fixed", {}, 0.0))
    assert [one.line.settings["schedule"] for one in found] == [
        "fixed", "constant-ratio", "step-decay",
    ]  # fmt: skip
    assert [one.colour for one in found] == [light[0] for light, _ in style.SCHEDULES.values()]


def test_momenta_differ_in_shade_and_mark() -> None:
    found = lines(*(("fixed", {}, m) for m in (0.9, 0.0, 0.5, 0.2)))
    assert [one.line.settings["momentum"] for one in found] == [0.0, 0.2, 0.5, 0.9]
    assert len({one.colour for one in found}) == len({one.mark for one in found}) == 4


def test_labels_say_only_what_varies() -> None:
    several = [("fixed", {"learning_rate": rate, "x": 1}, 0.0) for rate in (0.1, 0.2)]
    assert [one.label for one in lines(*several)] == [
        "fixed, learning_rate=0.1, m = 0", "fixed, learning_rate=0.2, m = 0",
    ]  # fmt: skip
    assert lines(several[0])[0].label == "fixed, m = 0"


def test_labels_name_other_optimizers_and_their_options(make_run) -> None:
    runs = [
        make_run(optimizer_options={"weight_decay": decay}) for decay in (0.1, 0.01)
    ] + [make_run(), make_run(optimizer="adamw")]  # fmt: skip
    assert [one.label for one in style.lines(run.line for run in runs)] == [
        "fixed, m = 0, wd = 0", "fixed, m = 0, wd = 0.01", "fixed, m = 0, wd = 0.1", "fixed, adamw",
    ]  # fmt: skip


def test_a_schedule_of_the_users_own() -> None:
    (line,) = lines(("mine", {}, 0.0))
    assert (line.colour, line.dark) == tuple(shades[0] for shades in style.OTHERS[0])


@pytest.mark.parametrize(
    ("measure", "values", "log"),
    [
        ("test_accuracy", [0.001, 0.9], False),
        ("top_eigenvalue", [3.0, 4.0], True),
        ("top_eigenvalue", [-1.0, 4.0], False),
        ("trace", [1.0, 100.0], True),
        ("trace", [1.0, 2.0], False),
    ],
)
def test_log_axes(measure: str, values: list[float], log: bool) -> None:
    assert style.on_log_axis(measure, pd.Series(values)) is log


def test_mixing() -> None:
    assert style.mix("#000000", "#FFFFFF", 0.5) == "#808080"
