"""The in-process engine: runs one after another in this process, for debugging and notebooks."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch

from sgdscope.execution.engine import Job, measures
from sgdscope.execution.messages import Message, Task
from sgdscope.execution.worker import execute


class InlineEngine:
    """Carries out tasks in the calling process, so that breakpoints in a user's own part work."""

    @property
    def device(self) -> str:
        """What this machine can train on."""
        return "cuda" if torch.cuda.is_available() else "cpu"

    def execute(self, job: Job, tasks: Sequence[Task]) -> Generator[Message, None, None]:
        """Carry out the tasks; the messages of a run arrive once it has ended."""
        job.prepare()
        load = job.loader()
        for task in tasks:
            told: list[Message] = []
            outcome = execute(
                task, measures(task), load, tell=told.append, checkpoint_every=job.checkpoint_every
            )
            yield from told
            yield outcome
