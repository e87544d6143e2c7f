"""Signs that an accuracy under attack is high because gradients mislead, not because of robustness.

After Athalye, Carlini and Wagner (2018): an attack that follows gradients fails where they mislead,
even if they are not zero. ``probes`` counts these signs; the thresholds lie beyond anything that
the networks of ``benchmarks/honest.py`` show.
"""

from __future__ import annotations

from dataclasses import dataclass

STEP_SHARE, UPHILL_SHARE, IDLE_SHARE, LOSS_SHARE = 0.15, 0.2, 0.3, 0.2
END_SHARE, PATH_SHARE, MISSED_SHARE = 0.25, 0.25, 0.5
FEWEST_ENDS = 10  # fewer say little: they are the hardest of all points
AT_LEAST = 3  # points that one step without gradients fools


@dataclass(frozen=True)
class Masking:
    """Signs that gradients mislead, at one eps; counts of correctly classified points."""

    probed: int = 0  # points whose gradient was compared with small and large changes
    step_wrong: int = 0  # it is half wrong about random changes as long as a step of PGD
    uphill_wrong: int = 0  # it is half wrong about a large step along itself
    uphill: float = 0.0  # the length of that step, in the norm
    idle_wrong: int = 0  # pixels for which it promises almost no effect change the loss
    loss_tried: int = 0  # points whose gradient of the attack's loss was compared with the margin's
    loss_wrong: int = 0  # the two are almost unrelated
    ends: int = 0  # points whose gradient was tried where the attack ended unsuccessfully
    end_wrong: int = 0  # there it is unrelated to the effect of changes as long as a step of PGD
    paths: int = 0  # points followed to the nearest image of another class
    path_wrong: int = 0  # gradients on the way are half wrong about the whole change
    path_missed: int = 0  # they miss a fifth of it or more
    nearest_tried: int = (
        0  # points left by the attack that one step towards that image was tried on
    )
    nearest_beats: int = 0  # it fools them

    @property
    def loss_misleads(self) -> bool:
        """The gradient of the attack's loss is of no use where the margin's is."""
        return _share(self.loss_wrong, self.loss_tried) >= LOSS_SHARE

    def flags(self) -> list[str]:
        """Reasons not to trust an attack that follows gradients, one sentence each."""
        found = [
            (
                _share(self.step_wrong, self.probed) >= STEP_SHARE,
                f"gradients are misleading: at {self.step_wrong} of {self.probed} points they "
                "misjudge random changes of one small step (eps / 15) by half or more",
            ),
            (
                _share(self.uphill_wrong, self.probed) >= UPHILL_SHARE,
                "the loss does not rise as its gradient says: at "
                f"{self.uphill_wrong} of {self.probed} points a step of {self.uphill:.2g} along "
                "it gains three times what the gradient predicts or more, or a third or less",
            ),
            (
                _share(self.idle_wrong, self.probed) >= IDLE_SHARE,
                f"gradients pass over pixels that matter: at {self.idle_wrong} of {self.probed} "
                "points the pixels with 2% of the gradient change the loss by 10% of what it "
                "predicts",
            ),
            (
                self.loss_misleads,
                f"the attack's loss misleads: at {self.loss_wrong} of {self.loss_tried} points "
                "its gradient is almost unrelated to that of the margin loss",
            ),
            (
                self.ends >= FEWEST_ENDS and _share(self.end_wrong, self.ends) >= END_SHARE,
                f"the attack was misled: at {self.end_wrong} of {self.ends} points where it "
                "ended without success, the gradient says almost nothing about the effect of "
                "small changes",
            ),
            (
                _share(self.path_wrong, self.paths) >= PATH_SHARE
                or _share(self.path_missed, self.paths) >= MISSED_SHARE,
                "gradients miss part of what the network does: on the way to an image of another "
                f"class they miss a fifth of the change or more at {self.path_missed} of "
                f"{self.paths} "
                f"points, by half or more at {self.path_wrong}",
            ),
            (
                self.nearest_beats >= AT_LEAST,
                "one step towards the nearest image of another class, without a gradient, fools "
                f"{self.nearest_beats} of {self.nearest_tried} points that the attack does not",
            ),
        ]
        return [sentence for seen, sentence in found if seen]


def _share(count: int, points: int) -> float:
    return count / max(points, 1)
