"""Results as lines of text for a person. Made of the result object and of nothing else; computes no
verdict.

Every text that a submission can influence is washed by `terminal.clean` and shown as text, never as
markup.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from course.terminal import clean, shorten
from graders.result import ExerciseResult, Figure, LawResult, Outcome, Reason, Story

SIGNS = {
    Outcome.PASS: ("✓", "green"),
    Outcome.FAIL: ("✗", "bold red"),
    Outcome.SKIPPED: ("-", "dim"),
    Outcome.TIMEOUT: ("✗", "bold red"),
    Outcome.CRASH: ("✗", "bold red"),
    Outcome.INVALID: ("✗", "bold red"),
    Outcome.UNGRADED: ("?", "yellow"),
}
WORDS = {
    Outcome.PASS: "",
    Outcome.FAIL: "broken",
    Outcome.SKIPPED: "not judged yet",
    Outcome.TIMEOUT: "did not come back",
    Outcome.CRASH: "crashed",
    Outcome.INVALID: "invalid",
    Outcome.UNGRADED: "could not be judged",
}
MAX_STEPS = 24
MAX_LINE = 400
MAX_OUTPUT_LINES = 8
MAX_CHATTER = 20  # lines
# columns of a line of figures where no terminal says how many it has; the fewest
WIDE, NARROW = 100, 40
BELOW = " " * 6


def header(title: str, name: str, source: str) -> Text:
    """The first line on the screen, there before anything is imported that takes time."""
    return Text.assemble((title.capitalize(), "bold"), " · ", name, " · ", (clean(source), "cyan"))


def law_line(law: LawResult) -> Text:
    """One law, one line: sign, number, name, points, what became of it."""
    sign, style = SIGNS[law.outcome]
    line = Text.assemble(
        "  ", (sign, style), f" {law.number + ' ':<5}", (f"{clean(law.name):<30}", _name_style(law))
    )
    line.append(f" {law.points:g}/{law.max_points:g}".rjust(6), style="dim")
    if word := "not written yet" if _unwritten(law) else WORDS[law.outcome]:
        line.append(f"  {word}", style=style)
    if law.outcome is Outcome.SKIPPED and law.message:
        line.append(f": {shorten(clean(law.message), 60)}", style=style)
    return line


def figure_lines(figures: Sequence[Figure], width: int = WIDE) -> list[Text]:
    """What was measured, in columns, beside the same figures of what it is compared with.

    What does not fit in `width` goes below, indented.
    """
    names = [clean(figure.name) for figure in figures]
    amounts = [_amount(figure.value, figure.unit) for figure in figures]
    wide, wider = max(map(len, names), default=0), max(map(len, amounts), default=0)
    lines = []
    for figure, name, amount in zip(figures, names, amounts, strict=True):
        line = Text.assemble(f"  {name:<{wide}}   ", (f"{amount:<{wider}}", "bold"))
        beside = clean(figure.against) or "reference"
        told = (
            f"{beside}: {_amount(figure.reference, figure.unit)}"
            if figure.reference is not None
            else ""
        )
        lines += _beside(line, told, clean(figure.note), width)
    return lines


def columns(screen: Console) -> int:
    """How many a line of figures has there."""
    return screen.width if screen.is_terminal else WIDE


def _beside(line: Text, told: str, note: str, width: int) -> list[Text]:
    """A figure's line with what it is compared with and the note, as far as they fit, the rest
    below it."""
    lines = [line]
    for text, style in ((told, ""), (note, "dim")):
        if text and len(lines) == 1 and lines[0].cell_len + 3 + len(text) <= width:
            lines[0].append(f"   {text}", style=style)
        elif text:
            indented = textwrap.wrap(
                text, max(width, NARROW), initial_indent=BELOW, subsequent_indent=BELOW
            )
            lines += [Text(piece, style=style) for piece in indented]
    lines[0].rstrip()
    return lines


def summary(result: ExerciseResult) -> Text:
    """One line: laws, points, time, and what is needed to see the same again."""
    held = sum(law.outcome is Outcome.PASS for law in result.laws)
    line = Text.assemble(
        (f"{held} of {len(result.laws)} laws hold", "bold green" if result.passed else "bold"),
        f" · {result.points:g} of {result.max_points:g} points · {result.seconds:.1f} s",
        (f" · seed {result.seed}" if result.seed else "", "dim"),
        (f" · isolation {clean(result.isolation)}, see course doctor", "dim"),
    )
    if result.advisory:
        line.append(" · advisory: isolation is below the required level", style="yellow")
    return line


def chatter(result: ExerciseResult) -> str:
    """A sentence about what the part printed in laws that hold; empty when it is next to nothing."""
    printed = [
        law.output for law in result.laws if law.outcome is Outcome.PASS and law.output.strip()
    ]
    count = sum(len(text.rstrip("\n").split("\n")) for text in printed)
    if count <= MAX_CHATTER:
        return ""
    more = " or more" if any("\n… " in text for text in printed) else ""
    return f"Your part printed {count} lines{more} in laws that hold; printing costs time."


def first_broken(result: ExerciseResult) -> LawResult | None:
    """The law to tell the learner about: the first, in the order of the laws, that the part broke."""
    return next((law for law in result.laws if law.outcome.failed), None)


def failure(law: LawResult, next_step: str) -> list[Text]:
    """The red block: the law, the shortest story that breaks it, got and expected, where to look,
    what to type."""
    lines = [
        Text(f"Law {law.number} · {clean(law.name)}", style="bold red"),
        *_washed(law.statement),
    ]
    if law.message:
        lines += [Text(), *_washed(law.message, "bold")]
    if law.story is not None:  # of what is not written there is nothing to tell
        lines += (
            [Text(), _field("look at", law.story.where, "cyan")]
            if _unwritten(law)
            else _story(law.story)
        )
    if law.output.strip():
        lines += _printed(law.output)
    return [*lines, Text(), _field("next", next_step, "bold")]


def problem(sentence: str, steps: Sequence[str]) -> list[Text]:
    """The block for a part that could not be judged at all: why, and what to do first."""
    lines = _washed(sentence, "bold")
    if steps:
        lines.append(Text())
        lines += [
            Text.assemble((f"{number}. ", "bold"), clean(step))
            for number, step in enumerate(steps, 1)
        ]
    return lines


def print_block(console: Console, lines: Iterable[Text], style: str = "red") -> None:
    """Print `lines` behind a bar of colour `style`; where no person looks, indented and plain."""
    console.print()
    print_behind(console, Text("▌ ", style=style) if console.is_terminal else Text("  "), lines)
    console.print()


def print_next(console: Console, steps: Sequence[str]) -> None:
    """What to type next: the first thing first, the others below it."""
    console.print()
    for number, step in enumerate(steps):
        console.print(f"{'      ' if number else 'Next: '}{step}", soft_wrap=True)


def print_behind(console: Console, margin: Text, lines: Iterable[Text]) -> None:
    """Print `lines`, wrapped to the width, each piece behind `margin`."""
    for line in lines:
        for piece in line.wrap(console, max(console.width - margin.cell_len, 20)) or [Text()]:
            piece.rstrip()
            console.print(margin + piece, soft_wrap=True)


def _story(story: Story) -> list[Text]:
    lines = [Text(), Text("The shortest story that breaks it:")]
    left_out = max(0, len(story.steps) - MAX_STEPS)
    if left_out:
        lines.append(Text(f"  … {left_out} steps before", style="dim"))
    for number, step in enumerate(story.steps[left_out:], left_out + 1):
        for row, piece in enumerate(clean(step).split("\n")):
            lines.append(
                Text.assemble((f"{'' if row else number:>4}  ", "dim"), shorten(piece, MAX_LINE))
            )
    lines += [Text(), _field("got", story.got, "red"), _field("expected", story.expected, "green")]
    if story.traceback:
        lines += [
            Text(),
            *(
                Text(f"  {shorten(clean(frame), MAX_LINE)}", style="dim")
                for frame in story.traceback
            ),
        ]
    if story.where:
        lines.append(_field("look at", story.where, "cyan"))
    if story.replay:
        lines.append(_field("replay", story.replay))
    return lines


def _printed(output: str) -> list[Text]:
    lines = clean(output).rstrip().split("\n")
    shown = [f"  {shorten(line, MAX_LINE)}" for line in lines[-MAX_OUTPUT_LINES:]]
    more = (
        f" (last {MAX_OUTPUT_LINES} of {len(lines)} lines)" if len(lines) > MAX_OUTPUT_LINES else ""
    )
    return [Text(), Text(f"Your part printed{more}:"), *(Text(line, style="dim") for line in shown)]


def _field(name: str, value: str, style: str = "") -> Text:
    return Text.assemble((f"{name:<9} ", "dim"), (shorten(clean(value), MAX_LINE), style))


def _washed(text: str, style: str = "") -> list[Text]:
    return [Text(shorten(line, 2 * MAX_LINE), style=style) for line in clean(text).split("\n")]


def _unwritten(law: LawResult) -> bool:
    return law.outcome is Outcome.FAIL and law.reason is Reason.UNWRITTEN


def _name_style(law: LawResult) -> str:
    return "dim" if law.outcome is Outcome.SKIPPED else ""


def _amount(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"
    return f"{number} {clean(unit)}".rstrip()
