"""Bytes that ought to be the text of a part: in whatever encoding they were saved, or what they are
instead."""

from __future__ import annotations

import codecs
import io
import tokenize

from graders.result import Location, Outcome
from graders.submissions.opened import UnusableSubmission

MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as the one of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
BEGINNINGS = (  # in small letters
    (b"pk\x03\x04", "a zip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"rar!", "a rar archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%pdf-", "a PDF"),
    (b"{\\rtf", "rich text (RTF)"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"version https://git-lfs", "a pointer of Git LFS, whose file was not pushed,"),
)


def in_utf8(data: bytes) -> bytes:
    """The same text in UTF-8 when a mark says that it is UTF-16 or UTF-32, as PowerShell and
    Notepad write it; else the bytes as they are."""
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), "")
    try:
        return data.decode(encoding).encode() if encoding else data
    except UnicodeError:
        return data


def instead(data: bytes) -> str:
    """What a source file is in truth, such as "a zip archive"; "" for one that may be source."""
    start = data.removeprefix(codecs.BOM_UTF8).lstrip()
    if not start:
        return "empty"
    if start.startswith(b"{") and b'"cells"' in data and b'"nbformat"' in data:
        return "a notebook"
    known = next(
        (what for beginning, what in BEGINNINGS if start[:40].lower().startswith(beginning)), ""
    )
    return known or ("a file with zero bytes in it" if b"\0" in data else "")


def decode(name: str, data: bytes) -> str:
    """UTF-8, UTF-16 or UTF-32 with a BOM, or the encoding that the file itself declares; any
    newlines. Raises Unusable: the text may have been spoilt on its way, so a person has to look."""
    data = in_utf8(data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        text = _declared(data) or ""
        if not text:
            line = data[: wrong.start].count(b"\n") + 1
            byte = data[wrong.start]
            problem = (
                f"{name} is not UTF-8 text (byte 0x{byte:02X} in line {line}); save it as UTF-8."
            )
            raise UnusableSubmission(
                problem, Outcome.UNGRADED, location=Location(name, line)
            ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _declared(data: bytes) -> str | None:
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding)
    # unknown, no encoding of text at all ("zlib"), or not in it
    except (SyntaxError, LookupError, ValueError):
        return None
