"""Bubblewrap (https://github.com/containers/bubblewrap), where it is installed: namespaces made by
a program that the system trusts to make them, also where it lets no other program do so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from graders.sandbox.isolation.inside import visible_paths
from graders.sandbox.isolation.limits import Limits
from graders.sandbox.isolation.visible_files import HOME, contents

FRESH = ("--unshare-all", "--new-session", "--cap-drop", "ALL", "--dev", "/dev", "--proc", "/proc")


@cache
def program() -> str:
    """The installed program, tried out once; "" if there is none or the machine does not let it."""
    path = shutil.which("bwrap")
    if path is None:
        return ""
    trial = [
        path,
        *FRESH,
        "--size",
        "4096",
        "--tmpfs",
        "/tmp",
        "--ro-bind",
        "/",
        "/",
        sys.executable,
        "-ISc",
        "",
    ]
    try:
        return (
            path if subprocess.run(trial, capture_output=True, timeout=10).returncode == 0 else ""
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""


def command(path: str, box: Path, limits: Limits) -> list[str]:
    """What to put before the interpreter's arguments: a root that shows what a worker may see, and
    the interpreter."""
    inside = contents(limits)
    interpreter = os.path.realpath(sys.executable)
    shown = [*inside.shown, interpreter, f"{HOME}/isolation/inside"]
    words = [path, *FRESH]
    for place in shown:
        for link, target in visible_paths.links(place)[0]:
            words += ["--symlink", target, link]
    for entry in visible_paths.entries(shown, inside.hidden):
        words += ["--ro-bind", entry.path, entry.path] if entry.whole else ["--dir", entry.path]
    for device in inside.devices:
        words += ["--dev-bind", device, device]
    return [
        *words,
        "--size",
        str(limits.disk),
        "--tmpfs",
        str(box),
        "--chdir",
        str(box),
        interpreter,
    ]
