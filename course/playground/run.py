"""An evening at the swap board, as `course run` tells it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from course import rendering
from course.errors import ExitCode, Problem
from course.playground import part_mix
from course.playground import serve as board
from course.playground.serve import EngineSizes
from course.terminal import clean
from graders.result import Figure
from reference_engine import naive
from reference_engine.model import Model, ModelError
from reference_engine.model_loader import load_model
from reference_engine.slots import Request
from reference_engine.waiter.corpus import Dialogue, guests
from reference_engine.waiter.menu import restaurants

SHOWN = 4


def serve(
    screen: Console, choices: Sequence[part_mix.PartChoice], sizes: EngineSizes, count: int, seed: int
) -> ExitCode:
    """Serve `count` guests drawn from `seed`, print what happened, and 0 or 1 for how it went."""
    evening = list(guests(restaurants()[0], count, seed))
    try:
        model = load_model("waiter")
        asked = board.requests(model, evening)
    except ModelError as error:
        raise Problem(f"the waiter is not well: {error}.", ExitCode.UNGRADED) from error
    _check_room(asked, sizes)
    served, wrong = board.trial(model, choices, asked, sizes)
    if served is None or wrong:
        guilty = board.culprit(model, choices, asked, sizes)
        rendering.print_block(screen, _accusation(wrong, guilty))
        return ExitCode.FAIL
    _print_answers(screen, model, evening, served)
    before = board.serve(model, naive.parts(), asked, sizes)
    for line in rendering.figure_lines(_figures(served, before)):
        screen.print(line, soft_wrap=True)
    screen.print("\nEvery token is what the model says alone, without batch, pages or cache.", style="green")
    return ExitCode.PASS


def _check_room(asked: Sequence[Request], sizes: EngineSizes) -> None:
    """`Problem` when the longest request could not be served even alone."""
    longest = max(len(request.prompt) + request.max_new for request in asked)
    needed = 1 + -(-longest // sizes.block_size)
    if sizes.num_blocks < needed:
        raise Problem(f"{sizes.num_blocks} blocks cannot hold a single guest of {longest} tokens; --blocks {needed}.")


def _accusation(wrong: str, guilty: part_mix.PartChoice | None) -> list[Text]:
    lines = rendering.problem(wrong, ())
    if guilty is None:
        return [*lines, Text(), Text("No single part is to blame: with any one of them swapped out it still fails.")]
    number = guilty.exercise.number
    blame = f"To blame: exercise {number}, {guilty.source}. With the solution in its place the evening goes well."
    again = "" if guilty.source == "mine" else f" --using {guilty.source}"
    return [*lines, Text(), Text(clean(blame)), Text(), Text(clean(f"next      course check {number}{again}"))]


def _print_answers(screen: Console, model: Model, evening: Sequence[Dialogue], served: board.ServedEvening) -> None:
    for dialogue, output in list(zip(evening, served.outputs, strict=True))[:SHOWN]:
        turn = dialogue.turns[0]
        screen.print(Text.assemble("  ", (f"{turn.guest}: ", "cyan"), turn.question), soft_wrap=True)
        answer = clean(model.tokenizer.decode(list(output))).strip()
        screen.print(Text.assemble("  ", (f"{dialogue.party.waiter}: ", "green"), answer), soft_wrap=True)
    if len(evening) > SHOWN:
        screen.print(f"  … and {len(evening) - SHOWN} more", style="dim")
    screen.print()


def _figures(served: board.ServedEvening, before: board.ServedEvening) -> list[Figure]:
    """What the mix did, beside the naive parts on the same evening in the same memory."""
    now, then = served.metrics, before.metrics
    pairs = (
        ("guests at once", "", now.peak_running, then.peak_running),
        ("steps of the model", "", now.steps, then.steps),
        ("tokens computed", "", now.computed, then.computed),
        ("tokens from the cache", "", now.cached, then.cached),
        ("guests sent away", "", now.preemptions, then.preemptions),
        ("answers", "tok/s", now.emitted / served.seconds, then.emitted / before.seconds),
    )
    return [Figure(name, float(value), unit, float(other), "naive parts") for name, unit, value, other in pairs]
