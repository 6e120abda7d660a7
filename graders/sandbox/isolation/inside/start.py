"""How a worker comes into being at one level: directly below the supervisor, or inside namespaces
of its own.

At L3 and L4 a helper enters new namespaces and leaves behind the first process of the new pid
namespace, which builds the root folder and starts the worker. When that first process ends, the
kernel ends everything in the namespace, and only then does the supervisor hear of its death: so the
whole tree is known to be dead.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import NoReturn

from . import landlock, lockdown, namespaces, privileges, seccomp, wait
from .handoff import Config, WorkerSpec, let_go


class LevelRefused(Exception):
    """This level cannot be had here; the text says why."""


@dataclass(frozen=True)
class StartedWorker:
    """A worker, locked up and waiting. watched: the supervisor's child whose end is the worker's.

    verdict: read end of a pipe on which the worker's own parent tells how it ended, -1 where that
    is the supervisor. lifeline: when it closes, that parent ends.
    """

    level: str
    locks: tuple[str, ...]
    watched: int
    verdict: int = -1
    lifeline: int = -1

    def status(self) -> int | None:
        """What the worker's own parent said of its end; None if it could not."""
        text = os.read(self.verdict, 64)
        return json.loads(text) if text else None


def start(level: str, config: Config) -> StartedWorker:
    """A worker at that level, or Refused."""
    without = config["without"]
    ours = (f"{config['root']}/reference_engine", f"{config['home']}/guest")
    uid, no_uid = privileges.stranger(config["shown"], ours, through_root=level == "L4")
    if level == "L3" or "uid" in without:
        uid = 0
    if level == "L4" and not uid:
        raise LevelRefused(no_uid or "another uid is not wanted")
    if level == "L2" and ("landlock" in without or not landlock.abi()):
        raise LevelRefused("this kernel has no Landlock")
    if level in ("L3", "L4") and "namespaces" in without:
        raise LevelRefused("user namespaces are off")
    locks = _locks(level, without, uid)
    return (
        _start_apart(level, locks, uid, config)
        if "namespaces" in locks
        else _start(level, locks, uid, config)
    )


def _locks(level: str, without: list[str], uid: int) -> tuple[str, ...]:
    """Names of the locks to put on: what the level asks for, and what this machine has beside it."""
    locks = ["namespaces"] * (level in ("L3", "L4"))
    locks += [f"Landlock {landlock.abi()}"] * (
        level != "L1" and "landlock" not in without and landlock.abi() > 0
    )
    locks += ["seccomp"] * ("seccomp" not in without and seccomp.available())
    return (*locks, *[f"uid {uid}"] * (uid > 0))


def _start(level: str, locks: tuple[str, ...], uid: int, config: Config) -> StartedWorker:
    listen, tell = os.pipe()
    worker = os.fork()
    if worker == 0:
        lockdown.work(WorkerSpec(locks, uid, config, tell))
    os.close(tell)
    _hear(listen)
    return StartedWorker(level, locks, worker)


def _start_apart(level: str, locks: tuple[str, ...], uid: int, config: Config) -> StartedWorker:
    listen, tell = os.pipe()
    verdict, report = os.pipe()
    lifeline_end, lifeline = os.pipe()
    helper = os.fork()
    if helper == 0:
        for descriptor in (listen, verdict, lifeline):
            os.close(descriptor)
        _enter(WorkerSpec(locks, uid, config, tell), lifeline_end, report)
    for descriptor in (tell, report, lifeline_end):
        os.close(descriptor)
    try:
        first = _hear(listen)
        if not first:
            raise LevelRefused("the first process of the namespaces did not come up")
    except LevelRefused:
        os.close(verdict)
        os.close(lifeline)
        raise
    os.waitpid(helper, 0)
    return StartedWorker(level, locks, int(first), verdict, lifeline)


def _enter(job: WorkerSpec, lifeline: int, report: int) -> NoReturn:
    """The helper: enter, leave the first process behind, go."""
    try:
        lockdown.first_to_die()
        namespaces.enter(user=not job.uid)
        first = os.fork()
        if first == 0:
            _change_root(job)
            _live_apart(job, lifeline, report)
        os.write(job.tell, f"{first}\n".encode())
    except Exception as trouble:
        lockdown.refuse(job, trouble)
    os._exit(0)


def _change_root(job: WorkerSpec) -> None:
    config = job.config
    namespaces.change_root(
        config["box"],
        config["shown"],
        config["hidden"],
        config["devices"],
        disk=config["disk"],
        programs=config["programs"],
    )
    if job.uid:
        os.chown(config["box"], job.uid, job.uid)


def _live_apart(job: WorkerSpec, lifeline: int, report: int) -> NoReturn:
    """The first process of the pid namespace, parent of the worker and of all that is orphaned in
    there."""
    woken = wait.wake_on_death()
    worker = os.fork()
    if worker == 0:
        os.close(lifeline)
        os.close(report)
        lockdown.work(job)
    os.close(job.tell)
    os.close(job.config["control"])
    let_go(job.config)
    privileges.hide()
    status = wait.wait(worker, lifeline, woken, lambda: "")[0]
    os.write(report, json.dumps(status).encode())
    os._exit(0)


def _hear(listen: int) -> str:
    """What was told until everybody who could tell has let go; Refused if it was a refusal."""
    with open(listen, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    for line in lines:
        if line.startswith("!"):
            raise LevelRefused(line[1:])
    return lines[0] if lines else ""
