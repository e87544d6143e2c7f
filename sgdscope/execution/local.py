"""The local engine: worker processes on this machine, one thread each on a CPU."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from sgdscope.errors import RequestError
from sgdscope.execution.engine import ATTEMPTS, CrashCounter, Job, batches, failure, measures
from sgdscope.execution.messages import Message, Task
from sgdscope.execution.worker import execute_cohort
from sgdscope.results.record import Checkpoint, Outcome


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    tasks: list[Task] = field(default_factory=list)  # those without an outcome yet


class LocalEngine:
    """Hands tasks to worker processes; a worker that dies is replaced and its tasks tried again."""

    def __init__(self, *, workers: int | None = None) -> None:
        self.workers = workers  # processes; None: one per usable core, or one per GPU

    @property
    def device(self) -> str:
        """What this machine can train on."""
        return "cuda" if torch.cuda.is_available() else "cpu"

    def execute(self, job: Job, tasks: Sequence[Task]) -> Generator[Message, None, None]:
        """Carry out the tasks; messages as they come.

        Closing the iterator stops the workers at once.
        """
        if multiprocessing.current_process().daemon:
            raise RequestError(
                "a study was started in a process that cannot start others (a worker of "
                'multiprocessing.Pool, for example); expected engine="inline" there'
            )
        count = self.workers or default_workers(job.device)
        queue = deque(batches(tasks, device=job.device, workers=count))
        crashes = CrashCounter()
        workers = [_start(job, number) for number in range(min(count, len(queue)))]
        try:
            while busy := _hand_out(workers, queue):
                for pipe in wait([worker.pipe for worker in busy]):
                    worker = next(worker for worker in busy if worker.pipe is pipe)
                    try:
                        message = worker.pipe.recv()
                    except (EOFError, OSError):
                        number = workers.index(worker)
                        workers[number] = _start(job, number)
                        for task in reversed(worker.tasks):
                            if crashes.too_many(task):
                                yield failure(task.run, _crash_message(worker.process))
                            else:
                                queue.appendleft([task])  # alone: one of several may be to blame
                        continue
                    _note(worker, message)
                    yield message
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.join()


def default_workers(device: str) -> int:
    """One worker per core that this process may use, or one per GPU."""
    if device == "cuda":
        return torch.cuda.device_count()
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start(job: Job, number: int) -> _Worker:
    """Start a worker that ignores Ctrl-C: stopping it is up to the parent."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, job, number), daemon=True)
    with _ignoring_interrupts(), _without_script():
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """A context in which processes start ignoring Ctrl-C; works in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


@contextmanager
def _without_script() -> Iterator[None]:
    """A context in which new processes do not import the script that starts them.

    They do not need it, and it may not be readable: on standard input, or in a notebook.
    """
    script = vars(sys.modules["__main__"])
    hidden: dict[str, Any] = {
        name: script[name] for name in ("__file__", "__spec__") if name in script
    }
    script.pop("__file__", None)
    script["__spec__"] = None
    try:
        yield
    finally:
        script.update(hidden)


def _hand_out(workers: Sequence[_Worker], queue: deque[list[Task]]) -> list[_Worker]:
    """Give every idle worker its next tasks; returns the busy workers."""
    for worker in workers:
        if not worker.tasks and queue:
            worker.tasks = queue.popleft()
            with suppress(OSError):  # an idle worker that died is noticed when it is listened to
                worker.pipe.send(worker.tasks)
    return [worker for worker in workers if worker.tasks]


def _note(worker: _Worker, message: Message) -> None:
    """Record how far a worker has got with its tasks."""
    if isinstance(message, Outcome):
        run_id = message.result.run.id
        worker.tasks = [task for task in worker.tasks if task.run.id != run_id]
    elif isinstance(message, Checkpoint):
        worker.tasks = [
            replace(task, checkpoint=message.state, prior=None)
            if task.run.id == message.run_id
            else task
            for task in worker.tasks
        ]


def _crash_message(process: BaseProcess) -> str:
    process.join()
    code = process.exitcode or 0
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    why = "; out of memory is a common cause" if code == -signal.SIGKILL else ""
    return f"the worker process died ({how}), {ATTEMPTS} times{why}"


def _work(pipe: Connection, job: Job, number: int) -> None:
    """A worker's loop: take tasks, carry them out, send each outcome."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    torch.set_num_threads(1)
    if job.device == "cuda":
        torch.cuda.set_device(number % torch.cuda.device_count())
    try:
        job.prepare()
    except Exception:
        _fail(pipe, traceback.format_exc())
        return
    load = job.loader()
    try:
        while True:
            for outcome in execute_cohort(
                pipe.recv(), measures, load, tell=pipe.send, checkpoint_every=job.checkpoint_every
            ):
                pipe.send(outcome)
    except (EOFError, OSError):
        return  # the parent is gone


def _fail(pipe: Connection, why: str) -> None:
    """The loop of a worker that could not be set up: fail every task."""
    with suppress(EOFError, OSError):
        while True:
            for task in pipe.recv():
                pipe.send(failure(task.run, why))


def _follow_parent() -> None:
    """Exit with the parent, however it died and whatever this process is doing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
