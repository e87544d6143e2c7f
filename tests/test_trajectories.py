"""How far training had got at each measurement."""

import pandas as pd

from sgdscope.results.trajectories import progress, trajectories

HISTORY = pd.DataFrame(
    [
        {"run": run, "epoch": epoch, "train_loss": 9.0 - epoch, "stability_limit": 20.0 * epoch,
         "lr_steps": 10.0 * epoch}
        for run in "ab"
        for epoch in (1, 2, 3)
    ]
)  # fmt: skip


def rows(measure: str, run: str, values: dict[int, float]) -> list[dict]:
    return [{"run": run, "measure": measure, "epoch": k, "value": v} for k, v in values.items()]


def test_the_loss_is_the_measured_one_where_a_run_has_it_at_every_epoch():
    table = pd.DataFrame(
        rows("accuracy", "b", {1: 0.1, 3: 0.3})
        + rows("accuracy", "a", {1: 0.5, 3: 0.7})
        + rows("train_loss", "a", {3: 0.25, 1: 0.75})
        + rows("train_loss", "b", {3: 0.125})
    )
    found = trajectories(table[table["measure"] == "accuracy"], progress(HISTORY, table))
    found = found.set_index(["run", "epoch"])
    assert found["loss"].to_dict() == {
        ("a", 1): 0.75, ("a", 3): 0.25,  # measured
        ("b", 1): 8.0, ("b", 3): 6.0,  # one is missing: the history's, at both
    }  # fmt: skip
    assert (
        found["limit"].to_dict()
        == HISTORY.set_index(["run", "epoch"])["stability_limit"].loc[list(found.index)].to_dict()
    )
    assert found.loc[("b", 3), "gradient_time"] == 30.0
    assert found["along"].equals(found["value"])


def test_along_is_the_value_on_the_examples_measured_on_the_way():
    table = pd.DataFrame(rows("accuracy", "a", {1: 0.5, 3: 0.7})).assign(along_value=[None, 0.6])
    found = trajectories(table, progress(HISTORY, table))
    assert found["along"].tolist() == [0.5, 0.6]
    assert found["value"].tolist() == [0.5, 0.7]


def test_a_run_with_a_negative_loss_has_none_and_a_loss_of_zero_is_the_smallest():
    history = HISTORY.assign(train_loss=[2.0, 0.0, -1.0, 2.0, 1.0, 0.0])
    table = pd.DataFrame(
        rows("accuracy", "a", {1: 0.1, 2: 0.2, 3: 0.3})
        + rows("accuracy", "b", {1: 0.1, 2: 0.2, 3: 0.3})
    )
    found = trajectories(table, progress(history, table)).set_index("run")
    assert found.loc["a", "loss"].isna().all()
    assert found.loc["a", "negative"].all()
    assert found.loc["b", "loss"].tolist() == [2.0, 1.0, 1e-12]
    assert not found.loc["b", "negative"].any()
