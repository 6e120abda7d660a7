"""What makes a file of a journal believed: a code under a key that only the owner of the journal
can read.

A journal lies beside a class's folder, where others may be able to write. What they put there, or
put in another's place, is as if it were not there.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import stat
from functools import cached_property
from pathlib import Path
from typing import Any

KEY, SIZE = ".key", 32  # the file, and its bytes
CODE = "mac"


class Seal:
    """Signs what is stored in the journal in folder `root`, and knows it again."""

    def __init__(self, root: Path) -> None:
        self._path = root / KEY

    def signed(self, plain: dict[str, Any], about: str) -> dict[str, Any]:
        """`plain`, JSON data, with its code. about: what it is said of, so that it counts of
        nothing else."""
        return {**plain, CODE: self.code(json.dumps(plain, sort_keys=True), about)}

    def opened(self, plain: Any, about: str) -> dict[str, Any] | None:
        """What was signed, without the code; None if it was not."""
        if not isinstance(plain, dict):
            return None
        rest = {name: value for name, value in plain.items() if name != CODE}
        return (
            rest if self.is_code(plain.get(CODE), json.dumps(rest, sort_keys=True), about) else None
        )

    def code(self, text: str, about: str) -> str:
        """The code of a text that is said of something."""
        said = f"{about}\0{text}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, said, "sha256").hex()

    def is_code(self, given: Any, text: str, about: str) -> bool:
        """Whether `given` is that code."""
        return isinstance(given, str) and hmac.compare_digest(
            given.encode("utf-8", "replace"), self.code(text, about).encode()
        )

    @cached_property
    def _key(self) -> bytes:
        """The journal's key, made when there is none of ours. OSError when it cannot be had."""
        key = self._read()
        if key is None:
            self._make()
            key = self._read()
        if key is None:
            raise PermissionError(1, "it is not yours alone", os.fspath(self._path))
        return key

    def _read(self) -> bytes | None:
        try:
            descriptor = os.open(
                self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            )
        except OSError:
            return None
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            ours = (
                stat.S_ISREG(found.st_mode)
                and found.st_uid == os.geteuid()
                and not found.st_mode & 0o077
            )
            return file.read() if ours and found.st_nlink == 1 and found.st_size == SIZE else None

    def _make(self) -> None:
        """Of several that make one at once the first stays. What stands there and is no key of ours
        is put away."""
        temporary = self._path.with_name(f"{KEY}.{secrets.token_hex(6)}")
        with open(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(secrets.token_bytes(SIZE))
        if os.path.lexists(self._path) and self._read() is None:
            os.replace(self._path, self._path.with_name(f"{KEY}.damaged"))
        with contextlib.suppress(FileExistsError):
            os.link(temporary, self._path)
        temporary.unlink(missing_ok=True)
