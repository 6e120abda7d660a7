"""What judge.yml lets in of the parcel that hand-in.yml packed: the declared parts of the one who handed in.

A pull request may rewrite the workflow that packs, so the parcel is anybody's: nothing in it is believed. Whose it is
says GitHub, which knows who started the run.

    admit.py address LISTING              of GitHub's list of a run's artifacts: where to fetch the parcel
    admit.py unpack PARCEL LOGIN FOLDER   the parts in it, into FOLDER/LOGIN
"""

from __future__ import annotations

import json
import re
import stat
import sys
import zipfile
import zlib
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from graders.registry.parts import PARTS

NAME = "submissions"
LARGEST_PARCEL = 16 << 20  # bytes, packed
LARGEST_FILE = 8 << 20  # bytes, unpacked
LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}")
DECLARED = {
    f"{part.slug}/{name}" for part in PARTS for name in (part.file_name, f"{part.slug}.ipynb")
}


class Refused(Exception):
    """The parcel is not what a hand-in is; one sentence."""


def address(listing: bytes) -> str:
    """Where the one parcel of a run is to be fetched. Raises Refused."""
    found = [
        each
        for each in json.loads(listing)["artifacts"]
        if each["name"] == NAME and not each["expired"]
    ]
    if len(found) != 1:
        raise Refused(f"the run left {len(found)} parcels named {NAME}, not one.")
    if found[0]["size_in_bytes"] > LARGEST_PARCEL:
        raise Refused(
            f"the parcel has {found[0]['size_in_bytes']} bytes, more than any hand-in needs."
        )
    return str(found[0]["archive_download_url"])


def unpack(parcel: Path, login: str, folder: Path) -> list[Path]:
    """Write the parts that are in the parcel. All of it is looked at before any is written. Raises Refused."""
    if not LOGIN.fullmatch(login):
        raise Refused(f"{login!r} is no login of GitHub's.")
    if parcel.stat().st_size > LARGEST_PARCEL:
        raise Refused("the parcel is larger than any hand-in.")
    try:
        with zipfile.ZipFile(parcel) as archive:
            parts = {_place(entry, login): _data(archive, entry) for entry in archive.infolist()}
            count = len(archive.infolist())
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        RuntimeError,
        NotImplementedError,
    ) as wrong:
        raise Refused(f"the parcel cannot be read: {wrong}.") from None
    if not parts or len(parts) != count:
        raise Refused("the parcel is empty, or holds a file twice.")
    written = [folder / login / place for place in parts]
    for path, data in zip(written, parts.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return written


def _place(entry: zipfile.ZipInfo, login: str) -> str:
    """Of a part of `login`: where it stands among their parts."""
    whose, _, place = entry.filename.partition("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if whose != login:
        raise Refused(f"{login} handed in something for {whose[:80]!r}.")
    if place not in DECLARED or kind not in (0, stat.S_IFREG):
        raise Refused(f"{entry.filename[:120]!r} is no part of any exercise.")
    return place


def _data(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as packed:
        data = packed.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise Refused(f"{entry.filename} unpacks to more than {LARGEST_FILE >> 20} MiB.")
    return data


def main(words: list[str]) -> int:
    """0, or 1 with the reason on stderr."""
    try:
        if words[0] == "address":
            print(address(Path(words[1]).read_bytes()))
        else:
            print(
                f"{len(unpack(Path(words[1]), words[2], Path(words[3])))} files of {words[2]} are let in."
            )
    except Refused as reason:
        print(f"Not judged: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
