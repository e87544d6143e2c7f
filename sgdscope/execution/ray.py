"""The Ray engine: the same tasks on a local or existing Ray cluster."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from sgdscope import data
from sgdscope.errors import RequestError
from sgdscope.execution.engine import ATTEMPTS, CrashCounter, Job, batches, failure, measures
from sgdscope.execution.messages import Message, Task
from sgdscope.execution.worker import execute_cohort
from sgdscope.results.record import Checkpoint, Outcome

try:
    import ray
    from ray.util.queue import Empty, Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise RequestError("--engine ray: Ray is not installed; pip install 'sgdscope[ray]'") from error


class RayEngine:
    """Hands tasks to a Ray cluster; only results come back, and only the driver writes.

    Data travel through Ray's object store, so that nodes need neither the files nor a shared file
    system. A task whose worker or node dies goes on elsewhere from its last checkpoint.
    """

    def __init__(self, *, workers: int | None = None) -> None:
        self.workers = workers  # tasks at a time; None: as many as the cluster has room for
        if not ray.is_initialized():
            ray.init(log_to_driver=False)

    @property
    def device(self) -> str:
        """What the cluster's nodes can train on."""
        return "cuda" if ray.cluster_resources().get("GPU") else "cpu"  # type: ignore[no-untyped-call]

    def execute(self, job: Job, tasks: Sequence[Task]) -> Generator[Message, None, None]:
        """Carry out the tasks; messages as they come.

        Closing the iterator cancels running tasks.
        """
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        mailbox = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        names = {task.run.data for task in tasks}
        store = {name: ray.put(data.load(name)) for name in names}
        remote = ray.remote(_carry_out).options(
            num_cpus=1, num_gpus=1 if job.device == "cuda" else 0, max_retries=0
        )
        count = self.workers or int(ray.cluster_resources().get("GPU", 1))  # type: ignore[no-untyped-call]
        waiting = batches(tasks, device=job.device, workers=count)[::-1]
        crashes = CrashCounter()
        under_way: dict[Any, list[Task]] = {}
        checkpoints: dict[str, bytes] = {}
        done: set[str] = set()
        try:
            while waiting or under_way:
                while waiting and len(under_way) < (self.workers or len(tasks)):
                    batch = waiting.pop()
                    under_way[remote.remote(job, batch, store, mailbox)] = batch
                finished, _ = ray.wait(list(under_way), num_returns=1, timeout=0.2)
                for message in _read(mailbox):
                    if isinstance(message, Checkpoint):
                        checkpoints[message.run_id] = message.state
                    elif isinstance(message, Outcome):
                        done.add(message.result.run.id)
                    yield message
                for reference in finished:
                    batch = [task for task in under_way.pop(reference) if task.run.id not in done]
                    try:
                        ray.get(reference)
                    except ray.exceptions.RayError as fault:
                        for old in batch:
                            last = checkpoints.get(old.run.id, old.checkpoint)
                            task = replace(old, checkpoint=last)
                            if crashes.too_many(task):
                                why = f"its worker died {ATTEMPTS} times: {fault}"
                                yield failure(task.run, why)
                            else:
                                waiting.append([task])
        finally:
            for reference in under_way:
                ray.cancel(reference, force=True)
            mailbox.shutdown(force=True)


def _read(mailbox: Queue) -> list[Message]:
    messages = []
    while True:
        try:
            messages.append(mailbox.get_nowait())
        except Empty:
            return messages


def _carry_out(job: Job, tasks: Sequence[Task], store: Mapping[str, Any], mailbox: Queue) -> None:
    """Runs on a worker. The device is the one that Ray assigned, not any that is visible."""
    torch.set_num_threads(1)
    device = torch.device(job.device)
    job.prepare()
    for outcome in execute_cohort(
        tasks,
        measures,
        lambda name: ray.get(store[name]).to(device),
        tell=mailbox.put,
        checkpoint_every=job.checkpoint_every,
    ):
        mailbox.put(outcome)
