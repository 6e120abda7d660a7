"""Pages in a real browser: nothing of a student's runs, and the class page does what it promises on
a phone.

Skipped without a Chromium, which $CHROMIUM may name.
"""

from __future__ import annotations

import html as entities
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import open_page
from sample_rows import HUNG, RIGHT, UNGRADED, WRONG

sys.path.append(str(Path(__file__).parents[1] / "unit" / "course"))

from test_literal_text import ATTACKS

from course.nbgrader_glue.literal_text import literal
from graders.reports import html

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
PAGE = "<!doctype html><html><head><title>kept</title></head><body>{body}</body></html>"
TEXT = "\n\n".join(text.replace("alert(1)", "document.title='owned'") for text in ATTACKS.values())

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")]


def opened(page: str, folder: Path) -> str:
    """The title of a page after the browser has run it."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    order = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
    ]
    order += ["--virtual-time-budget=5000", "--dump-dom", (folder / "page.html").as_uri()]
    shown = subprocess.run(order, capture_output=True, text=True, check=True).stdout
    return entities.unescape(shown.partition("<title>")[2].partition("</title>")[0])


def title(source: str, folder: Path) -> str:
    """Of the page that Formgrader's filter makes of the Markdown."""
    filters = pytest.importorskip("nbconvert.filters.markdown_mistune")
    body = filters.MarkdownWithMath(renderer=filters.IPythonRenderer(escape=False)).render(source)
    return opened(PAGE.format(body=body), folder)


def test_raw_it_takes_the_page_over_and_as_we_write_it_nothing_runs(tmp_path: Path) -> None:
    assert title(TEXT, tmp_path) == "owned"
    assert title(literal(TEXT), tmp_path) == "kept"


# ---------------------------------------------------------------- the class page

# The page as it is, with its own script and policy, in a frame as wide as a phone; a script of the
# test beside it types and clicks.
VISIT = """<!doctype html><html><head><title>nothing yet</title></head><body>
<iframe width="400" height="700" src="class.html"></iframe>
<script>
const frame = document.querySelector("iframe"), said = {};
frame.onload = async () => {
  const page = frame.contentDocument, of = (query) => [...page.querySelectorAll(query)];
  const names = () => of("table.class tbody tr").filter((row) => !row.hidden)
    .map((row) => row.querySelector("th").textContent);
  const type = (id, value) => {
    const field = page.getElementById(id);
    field.value = value;
    field.dispatchEvent(new frame.contentWindow.Event("input"));
  };
  said.wide = page.documentElement.scrollWidth;
  const head = of("table.class thead button")[1];
  head.click(); said.rising = names();
  head.click(); said.falling = names();
  type("outcome", "timeout"); said.timeout = names();
  type("outcome", "fail"); type("law", of("#law option")[1].value); said.law = names();
  type("outcome", ""); type("law", ""); type("who", "ADA"); said.who = names();
  type("who", "");
  of("td.law a")[0].click();
  await new Promise((done) => setTimeout(done, 100));
  said.story = of("details[open]").map((story) => story.id);
  said.symbols = of("td.law").every((cell) => cell.textContent.trim());
  document.title = JSON.stringify(said);
};
</script></body></html>"""
CLASS = [
    replace(row, student=name)
    for name, row in {
        "ada": RIGHT,
        "bob": WRONG,
        "cyd": HUNG,
        "dan": UNGRADED,
        "eve": WRONG,
    }.items()
]


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("visit")
    (folder / "class.html").write_text(
        html.render(CLASS, ["yan"], {("ada", 3): 1.5}), encoding="utf-8"
    )
    found: dict[str, Any] = json.loads(opened(VISIT, folder))
    return found


def test_the_class_page_fits_a_phone(visit: dict[str, Any]) -> None:
    assert visit["wide"] <= 400


def test_the_class_page_sorts_by_points(visit: dict[str, Any]) -> None:
    assert visit["falling"][0] == "ada"
    assert visit["rising"] != visit["falling"] and sorted(visit["rising"]) == [
        "ada",
        "bob",
        "cyd",
        "dan",
        "eve",
    ]


def test_the_class_page_is_filtered_by_outcome_law_and_text(visit: dict[str, Any]) -> None:
    assert visit["timeout"] == ["cyd"]
    assert sorted(visit["law"]) == ["bob", "eve"]
    assert visit["who"] == ["ada"]


def test_a_cell_of_the_class_page_leads_to_its_open_story_and_says_its_outcome_without_colour(
    visit: dict[str, Any],
) -> None:
    assert len(visit["story"]) == 1
    assert visit["symbols"]


LAID_OUT = """[...document.querySelectorAll("table.class tbody tr")]
  .filter((row) => row.cells[0].checkVisibility({ contentVisibilityAuto: true })).length"""


def test_of_a_large_class_what_is_in_sight_is_laid_out_and_all_of_it_is_found_and_printed(
    tmp_path: Path,
) -> None:
    rows = [
        replace(row, student=f"student {number}")
        for number, row in enumerate([RIGHT, WRONG, HUNG] * 100)
    ]
    (tmp_path / "class.html").write_text(html.render(rows), encoding="utf-8")
    with open_page(tmp_path / "browser") as page:
        page.resize(1200, 800)
        page.open((tmp_path / "class.html").as_uri())
        assert 0 < page.run(LAID_OUT) < 100
        assert page.run("find('student 299')")
        page.on_paper()
        assert page.run(LAID_OUT) == 300
