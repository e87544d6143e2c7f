"""Whether a growing batch size stays within the number of training images."""

from __future__ import annotations

from sgdscope.study.run import Run


def check(run: Run, *, images: int) -> None:
    """Raise ValueError if a batch of the run would be larger than this many images."""
    if run.grows:
        _by_schedule(run, images)
    procedure = run.procedure()
    if procedure is not None and procedure.largest_growth > 1:
        _by_method(run, images, procedure.largest_growth)


def _by_schedule(run: Run, images: int) -> None:
    epoch, made = 1, 0
    while epoch <= (run.epochs or epoch) and made < (run.steps or made + 1):
        if (size := run.size(epoch)) > images:
            raise ValueError(
                f"schedule.{run.schedule}: batch size {size} in epoch {epoch}; expected at "
                f"most {images}, the training images of {run.data}"
            )
        epoch, made = epoch + 1, made + images // size


def _by_method(run: Run, images: int, largest: int) -> None:
    where = f"method.{run.method}"
    if run.grows or run.steps is not None:
        expected = "a schedule whose batch size stays" if run.grows else "a duration in epochs"
        raise ValueError(f"{where}: its batch size grows by itself; expected {expected}")
    if run.batch_size * largest > images:
        raise ValueError(
            f"{where}: batch size {run.batch_size} can grow to {run.batch_size * largest}; "
            f"expected at most {images}, the training images of {run.data}: a smaller largest"
        )
