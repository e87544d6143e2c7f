"""The share of a training's time that measuring may take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """An account: training time is paid in, and measures are paid out of a share of it.

    The cost of a measure is known only after it has been taken once. Until then it is taken as soon
    as there is anything in the account, which it may overdraw; measures are then skipped until the
    account is balanced.

    Args:
        share: of the training time that measuring may take; None: no limit.
    """

    def __init__(self, share: float | None) -> None:
        self.share = share
        self.training = 0.0  # seconds
        self.measuring = 0.0
        self.left_out: dict[str, list[int]] = {}  # epochs at which a measure was not taken
        self._costs: dict[str, float] = {}
        self._since = time.perf_counter()
        self._measuring_now = False

    @property
    def spent(self) -> float:
        """Seconds that measuring has taken, including any in progress."""
        now = time.perf_counter() - self._since if self._measuring_now else 0.0
        return self.measuring + now

    def arrive(self) -> float:
        """Add the training time since the last departure; returns it in seconds."""
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        self.training += seconds
        self._measuring_now = True
        return seconds

    def depart(self) -> None:
        """Training goes on; the time since the arrival was spent on measuring."""
        self.measuring = self.spent
        self._measuring_now = False
        self._since = time.perf_counter()

    def allows(self, measure: str, *, epoch: int) -> bool:
        """Whether a measure can be afforded; if not, that is recorded."""
        if self.share is None:
            return True
        credit = self.share * self.training - self.spent
        if credit > 0 and self._costs.get(measure, 0.0) <= credit:
            return True
        self.left_out.setdefault(measure, []).append(epoch)
        return False

    @contextmanager
    def paying(self, measure: str) -> Iterator[None]:
        """A context in which a measure is taken; its time becomes its known cost."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._costs[measure] = time.perf_counter() - start

    def __str__(self) -> str:
        taken = self.spent / self.training if self.training else 0.0
        said = f"watched; measuring took {taken:.1%} of the training time"
        if self.share is not None:
            said += f", and the budget allows {self.share:.0%}"
        if self.left_out:
            several = (f"{name} at {_epochs(epochs)}" for name, epochs in self.left_out.items())
            said += f"; left out: {', '.join(several)}"
        return said


def _epochs(epochs: list[int]) -> str:
    if len(epochs) == 1:
        return f"epoch {epochs[0]}"
    return f"{len(epochs)} epochs from {epochs[0]} to {epochs[-1]}"
