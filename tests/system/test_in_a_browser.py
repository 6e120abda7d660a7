"""What a student says, in a real browser: nothing of it runs. Skipped without a Chromium, which $CHROMIUM may name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit" / "course"))

from test_literal_text import ATTACKS

from course.nbgrader_glue.literal_text import literal

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
PAGE = "<!doctype html><html><head><title>kept</title></head><body>{body}</body></html>"
TEXT = "\n\n".join(text.replace("alert(1)", "document.title='owned'") for text in ATTACKS.values())

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")]


def title(source: str, folder: Path) -> str:
    """Of the page that Formgrader's filter makes of the Markdown, after the browser has run it."""
    filters = pytest.importorskip("nbconvert.filters.markdown_mistune")
    body = filters.MarkdownWithMath(renderer=filters.IPythonRenderer(escape=False)).render(source)
    (folder / "page.html").write_text(PAGE.format(body=body), encoding="utf-8")
    order = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
    shown = subprocess.run([*order, (folder / "page.html").as_uri()], capture_output=True, text=True, check=True).stdout
    return shown.partition("<title>")[2].partition("</title>")[0]


def test_raw_it_takes_the_page_over_and_as_we_write_it_nothing_runs(tmp_path: Path) -> None:
    assert title(TEXT, tmp_path) == "owned"
    assert title(literal(TEXT), tmp_path) == "kept"
