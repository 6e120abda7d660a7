"""Removes a folder whatever a part has made of it: nested a thousand deep, closed to its owner,
full of links."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OPENING = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(folder: str | Path) -> None:
    """Nobody works in it any more. What cannot be removed stays; nothing outside of it is touched.

    Depth costs nothing: folders are moved up to the top, where each is emptied in its turn.
    """
    with contextlib.suppress(OSError), _opened(str(folder)) as top:
        _empty(top)
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def _empty(top: int) -> None:
    waiting, count = list(_folders(top)), 0
    mark = os.urandom(8).hex()  # a name that nothing in there has
    while waiting:
        name = waiting.pop()
        with _opened(name, top) as place:
            for nested in list(_folders(place)):
                count += 1
                # to be moved it must be its owner's to write in
                os.chmod(nested, stat.S_IRWXU, dir_fd=place)
                os.rename(nested, f"{mark}-{count}", src_dir_fd=place, dst_dir_fd=top)
                waiting.append(f"{mark}-{count}")
        os.rmdir(name, dir_fd=top)


def _folders(place: int) -> Iterator[str]:
    """The folders in a folder; everything else in it is removed."""
    with os.scandir(place) as listing:
        items = list(listing)
    for item in items:
        if item.is_dir(follow_symlinks=False):
            yield item.name
        else:
            os.unlink(item.name, dir_fd=place)


@contextlib.contextmanager
def _opened(name: str, place: int | None = None) -> Iterator[int]:
    """A descriptor of that folder, which its owner may read and change again. NotADirectoryError
    for a link to one."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode):
        raise NotADirectoryError(name)
    os.chmod(name, stat.S_IRWXU, dir_fd=place)
    descriptor = os.open(name, OPENING, dir_fd=place)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
