"""What a learner reads, and what a submission cannot do to their terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from course import rendering
from course.terminal import clean
from graders.result import ExerciseResult, Figure, LawResult, Location, Outcome, Reason, Story


def law(outcome: Outcome = Outcome.FAIL, **fields: object) -> LawResult:
    values: dict[str, object] = {
        "number": "1.4",
        "name": "copy-on-write",
        "statement": "A shared block is never written.",
        "outcome": outcome,
        "points": 0.0,
        "max_points": 2.0,
    }
    return LawResult(**(values | fields))  # type: ignore[arg-type]


def plain(lines: list[Text]) -> str:
    return "\n".join(line.plain for line in lines)


def printed(lines: list[Text], *, terminal: bool, width: int = 80) -> str:
    file = io.StringIO()
    console = Console(
        file=file,
        force_terminal=terminal,
        width=width,
        color_system="standard" if terminal else None,
    )
    rendering.print_block(console, lines)
    return file.getvalue()


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdevice\x1b\\x", "x"),
        ("\x9b2Jwipe", "wipe"),
        ("\x1b", ""),
        ("a\rb", "a\nb"),
        ("a\r\nb\tc", "a\nb\tc"),
        ("bell\x07", "bell\ufffd"),
        ("\u202eesrever", "\ufffdesrever"),
        ("\ud800", "\ufffd"),
        ("[bold]not markup[/bold] :smile:", "[bold]not markup[/bold] :smile:"),
    ],
)
def test_text_of_a_submission_is_washed(hostile: str, harmless: str) -> None:
    assert clean(hostile) == harmless


def test_a_law_of_what_is_not_written_says_so_and_where_instead_of_a_story() -> None:
    story = Story(
        ("part.fork(1, 2) -> raised",),
        "raised NotImplementedError",
        "None",
        location=Location("part.py", 9, "fork"),
    )
    unwritten = law(message="`fork` is not written yet.", story=story, reason=Reason.UNWRITTEN)
    assert rendering.law_line(unwritten).plain.endswith("not written yet")
    shown = plain(rendering.failure(unwritten, "course hint 1.4"))
    assert "look at   part.py:9 (fork)" in shown
    assert "shortest story" not in shown
    broken = law(message="`fork` copies.", story=story)
    assert rendering.law_line(broken).plain.endswith("broken")
    assert "shortest story" in plain(rendering.failure(broken, "course hint 1.4"))


def test_a_hostile_failure_reaches_the_screen_as_text_only() -> None:
    evil = "\x1b[2J[red]x[/red]\x07"
    story = Story(
        (f"extend() -> {evil}",), evil, evil, Location(function=evil), "course check 1.4", (evil,)
    )
    shown = printed(
        rendering.failure(law(message=evil, story=story, output=evil), "hint"), terminal=False
    )
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert shown.count("[red]x[/red]") == 7


def test_a_failure_tells_law_story_got_expected_place_and_next_step() -> None:
    story = Story(
        ("admit(1, 6) -> [1, 2]", "fork(1, 2)"),
        "no copy",
        "one Copy",
        "block_manager.py:57",
        "course check 1.4",
    )
    text = plain(
        rendering.failure(law(message="wrote a shared block", story=story), "course hint 1.4")
    )
    for piece in (
        "Law 1.4 · copy-on-write",
        "A shared block is never written.",
        "wrote a shared block",
        "fork(1, 2)",
    ):
        assert piece in text
    assert [line.split()[0] for line in text.splitlines()[-6:] if line] == [
        "got",
        "expected",
        "look",
        "replay",
        "next",
    ]


def test_a_long_story_keeps_its_end() -> None:
    story = Story(tuple(f"step {number}" for number in range(100)), "1", "2")
    text = plain(rendering.failure(law(story=story), "hint"))
    assert "76 steps before" in text
    assert "step 99" in text
    assert "step 75" not in text


def test_flooding_output_is_cut() -> None:
    text = plain(rendering.failure(law(output="\n".join(["x" * 10_000] * 1_000)), "hint"))
    assert "last 8 of 1000 lines" in text
    assert len(text) < 5_000


def test_a_block_fits_the_width_and_has_a_bar_only_on_a_terminal() -> None:
    lines = [Text("word " * 60)]
    shown = printed(lines, terminal=True, width=60)
    assert all("▌" in line for line in shown.strip().splitlines())
    plain_shown = printed(lines, terminal=False, width=60)
    assert "▌" not in plain_shown
    assert max(len(line) for line in plain_shown.splitlines()) <= 60


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_a_line(outcome: Outcome) -> None:
    line = rendering.law_line(law(outcome, message="needs 1.3")).plain
    assert "1.4" in line
    assert rendering.WORDS[outcome] in line


def test_figures_show_what_they_are_compared_with() -> None:
    figure = Figure("guests held", 60, "guests", 12, "contiguous reservation")
    lines = plain(
        rendering.figure_lines([figure, Figure("a much longer name", 0.25, "s", note="CPU time")])
    )
    assert lines == "\n".join(
        (
            "  guests held          60 guests   contiguous reservation: 12 guests",
            "  a much longer name   0.25 s      CPU time",
        )
    )


def test_figures_fit_the_screen_and_lose_nothing() -> None:
    figure = Figure(
        "accept_chain at batch 18, speed beside the reference", 0.6, "x", 0.4, "bound", "word " * 30
    )
    for width in (60, 80, 120):
        lines = [line.plain for line in rendering.figure_lines([figure], width)]
        assert max(map(len, lines)) <= width + (width < 70) * 10
        assert " ".join(" ".join(lines).split()).endswith("bound: 0.4 x " + " ".join(["word"] * 30))


def test_what_a_part_prints_in_laws_that_hold_is_counted_and_not_shown() -> None:
    def judged(lines: int, outcome: Outcome = Outcome.PASS) -> str:
        laws = (law(outcome, output="looking\n" * lines), law(Outcome.PASS))
        return rendering.chatter(ExerciseResult(1, "paged allocation", "mine", laws))

    assert judged(20) == ""
    assert judged(500, Outcome.FAIL) == ""  # shown with the failure
    assert judged(21) == "Your part printed 21 lines in laws that hold; printing costs time."
    capped = law(Outcome.PASS, output="looking\n" * 30 + "\n… 900 more bytes")
    assert " or more in laws" in rendering.chatter(
        ExerciseResult(1, "paged allocation", "mine", (capped,))
    )


def test_the_law_to_explain_is_the_first_that_the_part_broke() -> None:
    laws = (
        law(Outcome.PASS),
        law(Outcome.SKIPPED, number="1.5"),
        law(Outcome.CRASH, number="1.6"),
        law(),
    )
    broken = rendering.first_broken(ExerciseResult(1, "paged allocation", "mine", laws))
    assert broken is not None
    assert broken.number == "1.6"
