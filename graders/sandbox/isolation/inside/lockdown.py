"""The last steps of a process before it becomes the worker: it puts the locks on, reports, and
serves the grader."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

from . import landlock, namespaces, privileges, seccomp, visible_paths, wait
from .handoff import WorkerSpec, tell

PROC = (
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/filesystems",
    "/proc/sys/kernel",
    "/proc/sys/vm",
)


def work(job: WorkerSpec) -> NoReturn:
    """Never returns. What goes wrong before the first request is a refusal; afterwards the
    submission's affair."""
    import guest.worker  # type: ignore[import-not-found]

    try:
        _lock(job)
        tell(job.config, ready=True)
    except Exception as trouble:
        refuse(job, trouble)
    try:
        _close_all_but(job.config["wire"])
        guest.worker.serve(job.config["wire"], {})
        os._exit(0)
    finally:
        os._exit(1)


def refuse(job: WorkerSpec, trouble: Exception) -> NoReturn:
    """Tell the supervisor what went wrong, and go."""
    text = (
        f"{trouble.filename}: {trouble.strerror}" if isinstance(trouble, OSError) else repr(trouble)
    )
    os.write(job.tell, f"!{text}\n".encode())
    os._exit(1)


def first_to_die() -> None:
    """When the machine runs out of memory, this process and what it starts go first."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _lock(job: WorkerSpec) -> None:
    os.setsid()
    wait.undo_wake_on_death()
    sys.dont_write_bytecode = True
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if not job.apart:
        first_to_die()
        if job.uid:
            os.chown(job.config["box"], job.uid, job.uid)
    privileges.drop(job.uid)
    if not job.apart:
        privileges.die_with_parent()
    privileges.bound(
        job.config["rlimits"], tasks=job.config["tasks"] if job.apart or job.uid else 0
    )
    if any(lock.startswith("Landlock") for lock in job.locks):
        landlock.restrict(_rules(job))
    if "seccomp" in job.locks:
        seccomp.restrict(spawning=job.config["programs"])


def _rules(job: WorkerSpec) -> list[tuple[str, int]]:
    """For Landlock. In a root of its own all there is may be read; otherwise what is shown."""
    config = job.config
    own = [(config["box"], landlock.OWN)]
    own += [(f"/dev/{name}", landlock.USE) for name in namespaces.DEVICES]
    own += [(device, landlock.USE | landlock.LIST) for device in config["devices"]]
    if job.apart:
        return [("/", landlock.READ), *own]
    entries = visible_paths.entries(config["shown"], config["hidden"])
    shown = [(entry.path, landlock.READ if entry.whole else landlock.LIST) for entry in entries]
    return [*shown, *((path, landlock.READ) for path in (*PROC, f"/proc/{os.getpid()}")), *own]


def _close_all_but(wire: int) -> None:
    os.closerange(3, wire)
    os.closerange(wire + 1, 1024)
