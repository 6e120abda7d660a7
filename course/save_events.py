"""What happens while a learner works: the part is saved, or a key is pressed."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

SAVED = "saved"
TICK = 100  # milliseconds after which the keyboard is looked at again
SETTLED = 50  # milliseconds without a further change: an editor may write a file in several steps


def events(folder: Path, names: Collection[str]) -> Iterator[str]:
    """SAVED whenever a file of one of the names has changed in the folder; a letter whenever one
    was typed."""
    from watchfiles import watch

    def ours(_: object, path: str) -> bool:
        return os.path.basename(path) in names

    for changes in watch(
        folder, watch_filter=ours, debounce=SETTLED, step=SETTLED // 2, rust_timeout=TICK, yield_on_timeout=True,
        recursive=False, raise_interrupt=True,
    ):  # fmt: skip
        yield from [SAVED] if changes else []
        while key := pressed():
            yield key


def pressed() -> str:
    """The next key that was pressed, "" when none was or there is no keyboard."""
    if not sys.stdin.isatty() or not select.select([sys.stdin], [], [], 0)[0]:
        return ""
    return os.read(sys.stdin.fileno(), 1).decode("ascii", "replace")


@contextlib.contextmanager
def single_keys() -> Iterator[None]:
    """Meanwhile a key counts at once, without Enter, and is not shown; Ctrl-C stays what it is."""
    try:
        import termios
        import tty
    except ImportError:  # no such terminals on this system
        yield
        return
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
