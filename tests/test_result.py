"""What a result says of how far its run got, and how noisily."""

import pytest

from sgdscope.results.record import Epoch, Measurement, Result
from sgdscope.results.tables import Results


def epoch(number: int, *, steps: int, rate: float) -> Epoch:
    return Epoch(
        epoch=number, steps=steps, learning_rate=rate, train_loss=1.0, train_accuracy=0.5,
        validation_accuracy=0.5, seconds=1.0,
    )  # fmt: skip


def test_evidence_cannot_take_the_place_of_a_column(make_run):
    evidence = {"value": 7.0, "status": 1, "residual": 0.1}
    reading = Measurement(epoch=1, measure="mine", eps=None, value=0.5, evidence=evidence)
    history = [epoch(1, steps=10, rate=0.1)]
    result = Result(run=make_run(), status="done", history=history, measurements=[reading])
    (row,) = Results.collect([result]).table.to_dict("records")
    assert (row["value"], row["status"], row["residual"]) == (0.5, "done", 0.1)
    assert (row["evidence_value"], row["evidence_status"]) == (7.0, 1)


def test_progress_adds_up_each_epochs_rate(make_run):
    history = [epoch(1, steps=10, rate=0.1), epoch(2, steps=20, rate=0.1)]
    history.append(epoch(3, steps=25, rate=0.05))
    result = Result(
        run=make_run(momentum=0.9, schedule_options={"learning_rate": 0.1}),
        status="done", history=history,
    )  # fmt: skip
    assert result.lr_steps_by_epoch == pytest.approx([1, 2, 2.25])
    assert result.lr_steps == pytest.approx(2.25)
    assert result.steps == 25
    assert result.noise_scale == pytest.approx(0.1 * 10 / (1 - 0.9))


def test_the_noise_scale_of_a_part_of_an_epoch_is_that_of_a_whole_one(make_run):
    run = make_run(steps=7, batch_size=32, train_size=640)
    result = Result(run=run, status="done", history=[epoch(1, steps=7, rate=0.05)])
    assert result.noise_scale == pytest.approx(0.05 * 20)
