import pandas as pd
import pytest

from sgdscope.results import style


def runs(*settings: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(settings, columns=["schedule", "schedule_options", "momentum"])


def test_the_papers_colours() -> None:
    lines = style.lines(
        runs(("step-decay", "a", 0.9), ("constant-ratio", "b", 0.0), ("fixed", "c", 0.0))
    )
    assert [line.schedule for line in lines] == ["fixed", "constant-ratio", "step-decay"]
    assert [line.colour for line in lines] == [light[0] for light, _ in style.SCHEDULES.values()]


def test_momenta_differ_in_shade_and_mark() -> None:
    lines = style.lines(runs(*(("fixed", "a", m) for m in (0.9, 0.0, 0.5, 0.2))))
    assert [line.momentum for line in lines] == [0.0, 0.2, 0.5, 0.9]
    assert len({line.colour for line in lines}) == len({line.mark for line in lines}) == 4


def test_labels_say_only_what_varies() -> None:
    several = runs(
        ("fixed", "learning_rate=0.1, x=1", 0.0), ("fixed", "learning_rate=0.2, x=1", 0.0)
    )
    labels = [line.label for line in style.lines(several)]
    assert labels == ["fixed, learning_rate=0.1, m = 0", "fixed, learning_rate=0.2, m = 0"]
    assert style.lines(several.iloc[:1])[0].label == "fixed, m = 0"


def test_a_schedule_of_the_users_own() -> None:
    (line,) = style.lines(runs(("mine", "", 0.0)))
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
