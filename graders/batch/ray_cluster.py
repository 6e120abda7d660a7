"""Ray as a launcher: each Ray task starts one claiming worker as a process of its own and waits for
it.

No submission runs inside a Ray worker, and no result travels through Ray: the journal, on a disk
that all nodes see, is all they share.
"""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
from typing import Any

from graders.batch.journal import Journal
from graders.batch.pool import environment
from graders.batch.slurm import command

CPUS = 1
LONGEST_KNOCK = 10.0  # seconds


class NoRay(Exception):
    """Ray is not installed or no cluster can be had; the text is one sentence."""


def run(
    journal: Journal, tasks: int, address: str | None = None, on_progress: Any = None
) -> list[int]:
    """Start `tasks` workers on the cluster (one of this machine's own if there is no other) and
    wait; their exit codes.

    A task whose node dies is started again by Ray on another; what it had in hand is claimed anew.
    Raises NoRay.
    """
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise NoRay(
            "Ray is not installed; pip install 'inference-kitchen[ray]' brings it."
        ) from None
    began = not ray.is_initialized()
    if began:
        _begin(ray, address)
    try:
        remote = ray.remote(num_cpus=CPUS, max_retries=3)(_claim)
        logs = os.fspath(journal.root.resolve() / "logs")
        waiting = [
            remote.remote(command(journal), _shared(), f"{logs}/ray-{task}.log")
            for task in range(tasks)
        ]
        codes: list[int] = []
        while waiting:
            ready, waiting = ray.wait(waiting, timeout=1.0)
            codes += ray.get(ready)
            if on_progress:
                on_progress()
        return codes
    except ray.exceptions.RayError as error:
        raise NoRay(f"the Ray cluster gave up: {str(error).splitlines()[0]}") from None
    finally:
        if began:
            ray.shutdown()


def _begin(ray: Any, address: str | None) -> None:
    _knock(address)
    try:
        ray.init(
            address=address, include_dashboard=False, log_to_driver=False, logging_level="error"
        )
    except (
        Exception
    ) as error:  # whatever keeps a cluster from starting, its own kinds of timeout among them
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise NoRay(
            f"no Ray cluster can be had at {address or 'this machine'}: {reason}."
        ) from None


def _knock(address: str | None) -> None:
    """Whether anybody listens at "host:port"; Ray itself would wait for ten minutes. NoRay if not."""
    host, colon, port = (address or "").rpartition("://")[2].rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=LONGEST_KNOCK).close()
    except (OSError, OverflowError) as trouble:
        reason = getattr(trouble, "strerror", None) or str(trouble) or "no answer"
        raise NoRay(f"no Ray cluster can be had at {address}: {reason}.") from None


def _shared() -> dict[str, str]:
    """Of this process's environment, what a worker on another node needs."""
    kept = ("PYTHONPATH", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {name: value for name, value in environment().items() if name in kept}


def _claim(line: list[str], variables: dict[str, str], log: str) -> int:
    """On the node: one worker, ended with this task. What it says goes to `log`."""
    with open(log, "ab") as said:
        worker = subprocess.Popen(
            line,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        try:
            return worker.wait()
        finally:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
