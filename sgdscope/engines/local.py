"""The local engine: worker processes on this machine, one thread each on a CPU."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import torch

from sgdscope import data
from sgdscope.engines.base import ATTEMPTS, Job, Message, failure, measures
from sgdscope.execution import Checkpoint, Outcome, Task, execute


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    task: Task | None = None


class LocalEngine:
    """Hands tasks to worker processes; a worker that dies is replaced and its task tried again."""

    def __init__(self, *, workers: int | None = None) -> None:
        self.workers = workers  # processes; None: one a core that may be used, or one a GPU

    @property
    def device(self) -> str:
        """What this machine can train on."""
        return "cuda" if torch.cuda.is_available() else "cpu"

    def execute(self, job: Job, tasks: Sequence[Task]) -> Generator[Message, None, None]:
        """Carry out the tasks; messages as they come.

        Closing the iterator stops the workers at once.
        """
        queue = deque(tasks)
        deaths: dict[str, int] = {}
        count = self.workers or default_workers(job.device)
        workers = [_start(job) for _ in range(min(count, len(tasks)))]
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


def default_workers(device: str) -> int:
    """One worker a core that this process may use, or one a GPU."""
    return torch.cuda.device_count() if device == "cuda" else len(os.sched_getaffinity(0))


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
    threading.Thread(target=_follow_parent, daemon=True).start()
    torch.set_num_threads(1)
    job.prepare()

    @lru_cache(maxsize=1)
    def load(name: str) -> data.Dataset:
        return data.load(name).to(torch.device(job.device))

    try:
        while True:
            task: Task = pipe.recv()
            outcome = execute(
                task, measures(task), load, tell=pipe.send, checkpoint_every=job.checkpoint_every
            )
            pipe.send(outcome)
    except (EOFError, OSError):
        return  # the parent is gone


def _follow_parent() -> None:
    """Die with the parent, however it died and whatever this process is busy with."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
