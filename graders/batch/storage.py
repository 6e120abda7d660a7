"""Files that outlive a kill at any moment: whole or not there at all, the first one kept, lines
with a checksum."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK)


def keep_first(path: Path, data: bytes) -> bool:
    """Make `path` hold `data`, unless it is there already; whether this call did. OSError when the
    disk is full.

    The data is on the disk before the name appears, so a name never stands for half a file.
    """
    if path.exists():
        return False
    temporary = _write(path, data)
    try:
        os.link(temporary, path)  # fails if the name is taken, on network disks too
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return _keep_first_without_links(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return True


def replace(path: Path, data: bytes) -> None:
    """Make `path` hold `data`, whatever was there: the old file or the new one, never a mixture."""
    temporary = _write(path, data)
    try:
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def append(path: Path, entries: list[dict[str, Any]]) -> None:
    """Add one line an entry, each with its checksum; a torn line left by a kill is closed off
    first."""
    with path.open("ab") as file:
        if file.tell() and not _ends_well(path):
            file.write(b"\n")
        for entry in entries:
            text = json.dumps(entry, sort_keys=True)
            file.write(f'{{"crc": "{zlib.crc32(text.encode()):08x}", "entry": {text}}}\n'.encode())
        file.flush()
        os.fsync(file.fileno())


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The entries whose checksum holds, in order; torn and damaged lines are passed over."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            entry = _entry(line)
            if entry is not None:
                yield entry


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        whole = json.loads(line)
        entry: dict[str, Any] = whole["entry"]
        good = f"{zlib.crc32(json.dumps(entry, sort_keys=True).encode()):08x}" == whole["crc"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return entry if good else None


def _ends_well(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _write(path: Path, data: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return temporary


def _keep_first_without_links(temporary: Path, path: Path) -> bool:
    """On disks that know no links: whoever makes the empty claim file may rename."""
    claim = path.with_name(f".{path.name}.claim")
    try:
        os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    os.replace(temporary, path)
    claim.unlink(missing_ok=True)
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
