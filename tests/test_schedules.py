import pytest
from pydantic import ValidationError

from sgdscope.study.schedules import ConstantRatio, Fixed, StepDecay


def test_fixed_ignores_batch_size_and_epoch():
    rates = {Fixed().rate(batch_size=b, epoch=e) for b in (1, 2048) for e in (1, 100)}
    assert rates == {0.01}


@pytest.mark.parametrize(("batch_size", "rate"), [(64, 0.01), (1024, 0.16), (2048, 0.32)])
def test_constant_ratio_is_the_papers(batch_size, rate):
    assert ConstantRatio().rate(batch_size=batch_size, epoch=7) == pytest.approx(rate)


def test_step_decay_halves_after_every_five_epochs():
    rates = [StepDecay().rate(batch_size=64, epoch=epoch) for epoch in range(1, 12)]
    assert rates == [0.01] * 5 + [0.005] * 5 + [0.0025]


@pytest.mark.parametrize("rate", [0, -1.0, float("nan"), float("inf"), "0.1"])
def test_a_learning_rate_is_a_positive_number(rate):
    with pytest.raises(ValidationError):
        Fixed(learning_rate=rate)
