"""What a student says in a notebook that others open is text: no element, link, script or formula
comes of it."""

from __future__ import annotations

import json
import random
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from course.nbgrader_glue import notebook
from course.nbgrader_glue.gradebook import BadName, check_name
from course.nbgrader_glue.literal_text import WIDTH, literal
from course.nbgrader_glue.restore_cells import ReleasedCell, restore
from course.nbgrader_glue.write_outputs import grade_id
from graders.registry.catalogue import catalogue
from graders.submissions.notebook import washed

EXERCISE = catalogue(3)
ATTACKS = {
    "script": "<script>alert(1)</script>",
    "handler": '<img src="x" onerror="alert(1)">',
    "svg": "<svg><animate onbegin=alert(1) attributeName=x></svg>",
    "link": "[click](javascript:alert(1))",
    "entity link": "[click](java&#115;cript:alert(1))",
    "autolink": "<javascript:alert(1)>",
    "reference": "[a]\n\n[a]: javascript:alert(1)",
    "data link": "[a](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "form": '<form action="/api"><button formaction="javascript:alert(1)">ok</button></form>',
    "iframe": '<iframe srcdoc="&lt;script&gt;alert(1)&lt;/script&gt;"></iframe>',
    "style": "<style>@import 'http://a.invalid/x.css';</style>",
    "css": '<div style="position:fixed;inset:0">all points granted</div>',
    "remote image": "![x](http://a.invalid/pixel.png)",
    "embedded file": "![x](../../../../nbgrader_config.py)",
    "meta": '<meta http-equiv="refresh" content="0;url=javascript:alert(1)">',
    "base": '<base href="http://a.invalid/">',
    "object": '<object data="javascript:alert(1)"></object>',
    "formula": r"$\href{javascript:alert(1)}{x}$ $$\require{html}\style{position:fixed}{x}$$",
    "environment": "\\begin{equation}<img src=x onerror=alert(1)>\\end{equation}",
    "comment": "--><script>alert(1)</script><!--",
    "mutation": "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "math": "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "template": "{{ cell.source }} {% include 'x' %} ${alert(1)}",
    "closing": "</code></pre></div><script>alert(1)</script>",
    "a fence": "```\n<script>alert(1)</script>\n```\n<script>alert(2)</script>",
    "long fences": "`````\n~~~~~\n``````\n<script>alert(1)</script>",
    "odd newlines": "x\r```\r<script>alert(1)</script>\u2424```\u2424<script>\u2028```\x0b<script>\x0c```\x85<b>",
    "tabs": "\t```\n \t<script>alert(1)</script>",
    "a widget": '<script type="application/vnd.jupyter.widget-view+json">{"model_id": "x"}</script>',
    "attachment": '![x](attachment:"onerror=alert(1))',
}
INERT = {"pre", "code", "p"}


class Elements(HTMLParser):
    """The elements of a page, and the text that is in none but blocks of code."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def rendered(source: str) -> Elements:
    """As nbgrader's Formgrader and feedback render Markdown."""
    filters = pytest.importorskip("nbconvert.filters.markdown_mistune")
    html = filters.MarkdownWithMath(renderer=filters.IPythonRenderer(escape=False)).render(source)
    page = Elements()
    page.feed(html)
    page.close()
    return page


@pytest.mark.parametrize("name", ATTACKS)
def test_an_answer_is_shown_letter_by_letter(name: str) -> None:
    text = ATTACKS[name]
    page = rendered(literal(text))
    assert [tag for tag, _ in page.found] == ["pre", "code"]
    assert not any(attributes for _, attributes in page.found)
    assert [line.split() for line in page.text.split("\n") if line.strip()]
    visible = re.sub(r"[\s\ufffd\u2424]", "", page.text)
    assert visible == re.sub(r"[\s\ufffd\u2424\x0b\x0c\x85\u2028]", "", text)


def test_nothing_that_chance_writes_leaves_its_block() -> None:
    chance = random.Random(17)
    pieces = [
        "`",
        "```",
        "~~~",
        "\n",
        "\r",
        "\t",
        "    ",
        "<script>",
        "$$",
        "$",
        "\\begin{x}",
        "\\end{x}",
        "> ",
        "- ",
        "\\",
    ]
    for _ in range(300):
        text = "".join(chance.choices(pieces, k=chance.randint(1, 30)))
        assert {tag for tag, _ in rendered(literal(text)).found} <= INERT, text


@pytest.mark.parametrize(
    "text", ["so ? it is", "Because (as said) it's last-in: first-out!\n\nTwo.", "Ωμέγα 你好", ""]
)
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert literal(text) == text
    assert [tag for tag, _ in rendered(literal(text)).found] == ["p"] * len(
        text.split("\n\n")
    ) * bool(text)


def test_long_lines_are_wrapped_and_nothing_is_lost() -> None:
    text = "<b>" + "word " * 100 + "\n" + "x" * 500
    shown = literal(text).split("\n")
    assert max(map(len, shown)) <= WIDTH
    assert "".join(shown[1:-1]) == text.replace("\n", "")


# ---------------------------------------------------------------- the whole notebook


def page() -> list[Any]:
    return [washed(cell) for cell in notebook.release(EXERCISE)["cells"]]


def released() -> list[ReleasedCell]:
    found = []
    for cell in page():
        mark = cell["metadata"].get("nbgrader")
        if mark:
            name, points = mark["grade_id"], mark.get("points")
            known = ReleasedCell(
                name, cell["cell_type"], cell["source"], "", mark["grade"], mark["solution"], points
            )
            found.append(known)
    return found


def shown(sheet: dict[str, Any]) -> list[Any]:
    return restore(sheet["cells"], released(), (EXERCISE.class_name,), page()).cells


def test_an_untouched_notebook_is_shown_as_it_was_released() -> None:
    before = [(cell["cell_type"], cell["source"]) for cell in page()]
    assert [
        (cell["cell_type"], cell["source"]) for cell in shown(notebook.release(EXERCISE))
    ] == before


@pytest.mark.parametrize("kind", ["markdown", "raw", "code", "heading"])
def test_a_cell_that_was_not_released_is_left_out_and_counted(kind: str) -> None:
    sheet = notebook.release(EXERCISE)
    added = {
        "cell_type": kind,
        "metadata": {"raw_mimetype": "text/html"},
        "source": ATTACKS["script"],
        "level": 1,
    }
    sheet["cells"].insert(0, added)
    found = restore(sheet["cells"], released(), (EXERCISE.class_name,), page())
    assert not [cell for cell in found.cells if "<script>" in cell["source"]]
    assert found.notices == (
        "1 cells that were not released are left out here; submitted/ has them.",
    )


def test_of_an_answer_nothing_is_left_but_its_text() -> None:
    sheet = notebook.release(EXERCISE)
    for cell in sheet["cells"]:
        cell["metadata"] |= {"tags": ['"><script>'], "name": "<b>", "widgets": {}, "slideshow": {}}
        cell["attachments"] = {"x.png": {"text/html": "<script>"}}
        cell["id"] = '"><script>alert(1)</script>'
        if grade_id(cell).startswith("explain-"):
            cell["source"] = ATTACKS["handler"]
    cells = shown(sheet)
    assert "script" not in json.dumps(
        [{name: cell[name] for name in cell if name != "source"} for cell in cells]
    )
    assert {name for cell in cells for name in cell} <= {
        "cell_type",
        "metadata",
        "source",
        "outputs",
        "execution_count",
    }
    answers = [cell["source"] for cell in cells if grade_id(cell).startswith("explain-")]
    assert answers == [literal(ATTACKS["handler"])] * 2


def test_a_lesson_that_was_rewritten_is_the_released_one_again() -> None:
    sheet = notebook.release(EXERCISE)
    sheet["cells"][0]["source"] = ATTACKS["form"]
    assert shown(sheet)[0]["source"] == page()[0]["source"]


@pytest.mark.parametrize("kind", ["code", "raw"])
def test_an_answer_of_another_type_is_text_all_the_same(kind: str) -> None:
    sheet = notebook.release(EXERCISE)
    answer = next(cell for cell in sheet["cells"] if grade_id(cell) == "explain-3-1")
    answer |= {
        "cell_type": kind,
        "source": ATTACKS["script"],
        "outputs": [],
        "execution_count": None,
    }
    found = next(cell for cell in shown(sheet) if grade_id(cell) == "explain-3-1")
    assert (found["cell_type"], found["source"]) == ("markdown", literal(ATTACKS["script"]))


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>", '";alert(1);"', '"+alert`1`+"', '",location="x', "a>b"]
)
def test_no_students_name_is_markup_for_formgrader(name: str) -> None:
    with pytest.raises(BadName, match="markup"):
        check_name(name)
