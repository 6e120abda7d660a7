"""The process that stays behind: it starts the worker at the highest level it can, watches it, and
ends its tree.

CONFIG (JSON): wire, control: inherited descriptors. levels: to try, in order ("L4" … "L1").
without: names of locks to do without ("namespaces", "landlock", "seccomp", "uid"). box: an empty
folder of the worker's own. home: the folder that holds the package `guest`. root: the one that
holds `reference_engine`. shown, hidden, devices: paths (`view`). paths: appended to sys.path.
rlimits: name -> value. memory (bytes), tasks, disk (bytes), files: limits of the whole tree.
programs: whether it may start programs.

Control channel, messages to the grader: {"ready": true} sent by the worker itself, so that the
kernel tells its pid; {"level": "L3", "locks": […], "refused": {"L4": why}}, or {"failed": true,
"refused": …}; when the tree is dead {"exit": status of the worker as of os.waitstatus_to_exitcode,
or null, "why": ""}. When the grader closes the channel, or dies, the tree is ended.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
from typing import NoReturn

from . import privileges, process_tree, rmtree, start, system, wait
from .handoff import Config, let_go, tell

MIB = 1 << 20
OUT_OF_MEMORY = "out of memory"


def main(text: str) -> NoReturn:
    """See above. Never returns."""
    config = json.loads(text)
    # the worker may have another uid: it has to get through the folders that are made for it
    os.umask(0o022)
    _import_child(config)
    woken = wait.wake_on_death()
    with contextlib.suppress(OSError):
        system.prctl(system.PR_SET_CHILD_SUBREAPER, 1)
        # a grader that dies may have stopped it
        system.prctl(system.PR_SET_PDEATHSIG, signal.SIGCONT)
    refused: dict[str, str] = {}
    for level in config["levels"]:
        try:
            started = start.start(level, config)
        except start.LevelRefused as why:
            refused[level] = str(why)
            _end_all()
            continue
        _keep(started, refused, config, woken)
    tell(config, failed=True, refused=refused)
    os._exit(1)


def _import_child(config: Config) -> None:
    """While everything can still be read."""
    sys.path[:0] = [config["home"], config["root"]]
    for name in ("guest.worker", "reference_engine.slots"):
        importlib.import_module(name)
    del sys.path[:2]
    sys.path += config["paths"]


def _keep(
    started: start.StartedWorker, refused: dict[str, str], config: Config, woken: int
) -> NoReturn:
    """Watch until the worker ends, uses too much, or the grader lets go; end the tree, tell how it
    went."""
    let_go(config)
    privileges.hide()
    tell(config, level=started.level, locks=started.locks, refused=refused)
    killed_before = _killed_by_kernel()
    status, why = wait.wait(started.watched, config["control"], woken, lambda: _too_much(config))
    _end_all()
    if started.verdict >= 0:
        status = started.status()
    if not why and status in (None, -signal.SIGKILL) and _killed_by_kernel() > killed_before:
        why = _whose_memory(config)
    rmtree.remove(config["box"])  # the grader would, if it is still there
    tell(config, exit=status, why=why)
    os._exit(0)


def _too_much(config: Config) -> str:
    """What the tree uses beyond its limits; "" if nothing."""
    tree = process_tree.usage(os.getpid())
    if tree.memory > config["memory"]:
        return f"used more than {config['memory'] // MIB} MiB of memory"
    if tree.maps > process_tree.MAPS:
        return f"mapped more than {process_tree.MAPS} pieces of memory"
    if tree.tasks > config["tasks"]:
        return f"started more than {config['tasks']} processes or threads"
    size, files = process_tree.folder(config["box"], config["files"])
    if files > config["files"]:
        return f"made more than {config['files']} files, or folders nested deeper than {process_tree.DEEPEST}"
    if size + tree.unnamed > config["disk"]:
        return f"wrote more than {config['disk'] // MIB} MiB of files"
    return ""


def _whose_memory(config: Config) -> str:
    """The machine has run out of memory: for a worker that grew beyond its limit between two looks,
    or for others."""
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return (
        OUT_OF_MEMORY
        if largest <= config["memory"]
        else f"used more than {config['memory'] // MIB} MiB of memory"
    )


def _end_all() -> None:
    """Kill what lives below, and bury it, until nothing is left."""
    with contextlib.suppress(ChildProcessError):
        while True:
            process_tree.end_all(os.getpid())
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _killed_by_kernel() -> int:
    """How often this machine has killed something for memory."""
    with contextlib.suppress(OSError), open("/proc/vmstat", "rb") as file:
        for line in file:
            if line.startswith(b"oom_kill "):
                return int(line.split()[1])
    return 0
