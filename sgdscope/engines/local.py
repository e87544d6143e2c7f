"""The local engine: worker processes on this machine, one thread each on a CPU."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from sgdscope.engines.base import Job, Message, failure, measures
from sgdscope.execution import Checkpoint, Outcome, Task, execute

ATTEMPTS = 2  # a worker that dies may have been unlucky once (memory, a signal), hardly twice


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    task: Task | None = None


class LocalEngine:
    """Hands tasks to worker processes; a worker that dies is replaced and its task tried again."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def execute(self, job: Job, tasks: Sequence[Task]) -> Generator[Message, None, None]:
        """Carry out the tasks; messages as they come.

        Closing the iterator stops the workers at once.
        """
        queue = deque(tasks)
        deaths: dict[str, int] = {}
        workers = [_start(job) for _ in range(min(self.workers, len(tasks)))]
        try:
            for worker in workers:
                _hand(worker, queue)
            while busy := [worker for worker in workers if worker.task is not None]:
                for pipe in wait([worker.pipe for worker in busy]):
                    worker = next(worker for worker in busy if worker.pipe is pipe)
                    try:
                        message = worker.pipe.recv()
                    except (EOFError, OSError):
                        task = worker.task
                        assert task is not None
                        workers[workers.index(worker)] = replacement = _start(job)
                        deaths[task.run.id] = deaths.get(task.run.id, 0) + 1
                        if deaths[task.run.id] < ATTEMPTS:
                            queue.appendleft(task)
                        else:
                            yield failure(task.run, _obituary(worker.process))
                        _hand(replacement, queue)
                        continue
                    if isinstance(message, Outcome):
                        _hand(worker, queue)
                    if isinstance(message, Checkpoint) and worker.task is not None:
                        worker.task = replace(worker.task, checkpoint=message.state, prior=None)
                    yield message
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.join()


def _start(job: Job) -> _Worker:
    """Start a worker that Ctrl-C does not reach: stopping is the parent's business."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, job), daemon=True)
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, handler)
    theirs.close()
    return _Worker(process, ours)


def _hand(worker: _Worker, queue: deque[Task]) -> None:
    """Give a worker its next task, if there is one."""
    worker.task = queue.popleft() if queue else None
    if worker.task is not None:
        worker.pipe.send(worker.task)


def _obituary(process: BaseProcess) -> str:
    process.join()
    code = process.exitcode or 0
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"the worker process died ({how}), {ATTEMPTS} times; out of memory is a common cause"


def _work(pipe: Connection, job: Job) -> None:
    """A worker's life: take a task, carry it out, send what came of it."""
    import torch

    torch.set_num_threads(1)
    job.prepare()
    device = torch.device(job.device)
    try:
        while True:
            task: Task = pipe.recv()
            outcome = execute(
                task,
                measures(task),
                device=device,
                tell=pipe.send,
                checkpoint_every=job.checkpoint_every,
            )
            pipe.send(outcome)
    except (EOFError, OSError):
        return  # the parent is gone
