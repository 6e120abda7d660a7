"""`course chat`: a guest talks to the waiter, the small model inside the course."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.text import Text

from course import workspace
from course.errors import ExitCode, Problem, needing_the_waiter
from course.playground import part_mix
from course.terminal import clean, console
from reference_engine.waiter.corpus import GUESTS, QUESTIONS, TABLES, WAITERS, Party
from reference_engine.waiter.menu import HOUSES, Restaurant, restaurants

if TYPE_CHECKING:
    from course.playground.chat import Conversation

BLOCK_SIZE = 16
QUIT = ("/quit", "/exit", "/q")


def _one_of(names: tuple[str, ...]) -> click.Choice[str]:
    return click.Choice(names, case_sensitive=False)


_TABLE = click.IntRange(min(TABLES), max(TABLES))


@click.command("chat")
@click.option(
    "--restaurant",
    type=_one_of(tuple(HOUSES)),
    default="Luna",
    show_default=True,
    help="Whose menu it is.",
)
@click.option("--guest", metavar="NAME", default=GUESTS[0], show_default=True, help="Who you are.")
@click.option(
    "--waiter",
    metavar="NAME",
    type=_one_of(WAITERS),
    default=WAITERS[0],
    show_default=True,
    help="Who serves.",
)
@click.option("--table", type=_TABLE, default=TABLES[0], show_default=True, help="Where you sit.")
@click.option(
    "-m",
    "--message",
    "messages",
    multiple=True,
    help="Ask this and leave; may be given more than once.",
)
@click.option(
    "--use",
    "uses",
    multiple=True,
    metavar="PART:N",
    help="Let a part of yours serve, such as mine:1,4.",
)
def command(
    restaurant: str,
    guest: str,
    waiter: str,
    table: int,
    messages: tuple[str, ...],
    uses: tuple[str, ...],
) -> ExitCode:
    """Talk to the waiter: a language model that knows the menu, its own name, your table and you.

    Without -m it asks you, or reads one question a line from a pipe. /menu shows the menu, /quit
    ends.
    """
    choices = part_mix.mix(uses, workspace.find_or_none())
    house = next(each for each in restaurants() if each.name == restaurant)
    party = Party(house, waiter, table, (guest_name(guest),))
    screen = console()
    talking = not messages and sys.stdin.isatty()
    if talking:
        _welcome(screen, party)
    talk = _sit_down(party, choices)
    for question in messages or _questions(screen, talk.guest, talking):
        if question.strip() == "/menu":
            screen.print(_menu(house), soft_wrap=True)
        else:
            with part_mix.blamed(choices):
                _answer(screen, talk, question, echo=not talking)
    return ExitCode.PASS


def guest_name(typed: str) -> str:
    """The name in the waiter's spelling. `Problem` for a name that the waiter never heard."""
    known = {name.lower(): name for name in GUESTS}
    if typed.lower() not in known:
        names = ", ".join(GUESTS)
        raise Problem(f"the waiter has never heard the name {typed!r}; be one of {names}.")
    return known[typed.lower()]


def _sit_down(party: Party, choices: tuple[part_mix.PartChoice, ...]) -> Conversation:
    """The talk, with the model loaded: this is what takes a second or two."""
    from course.playground.chat import Conversation
    from reference_engine.engine import Engine
    from reference_engine.model_loader import load_model

    with needing_the_waiter():
        model = load_model("waiter")
        blocks = 1 + 2 * -(-model.config.positions // BLOCK_SIZE)
        with part_mix.blamed(choices):
            parts = part_mix.parts(choices)
            speculator = part_mix.speculator(model, parts)
            engine = Engine(
                model, parts, num_blocks=blocks, block_size=BLOCK_SIZE, speculator=speculator
            )
        assert model.tokenizer
    return Conversation(engine, party, party.guests[0])


def _questions(screen: Console, guest: str, talking: bool) -> Iterator[str]:
    """What the guest types, or what comes through the pipe, until the end."""
    while True:
        try:
            line = screen.input(Text(f"{guest}: ", style="bold cyan")) if talking else input()
        except (EOFError, UnicodeDecodeError):
            return
        if line.strip() in QUIT:
            return
        if line.strip():
            yield line


def _answer(screen: Console, talk: Conversation, question: str, *, echo: bool) -> None:
    if echo:
        screen.print(
            Text.assemble((f"{talk.guest}: ", "bold cyan"), clean(question)), soft_wrap=True
        )
    from course.playground.chat import Unanswerable

    screen.print(Text(f"{talk.party.waiter}:", style="bold green"), end="")
    try:
        for piece in talk.ask(question):
            screen.print(piece, end="", soft_wrap=True)
            screen.file.flush()
    except Unanswerable as error:
        screen.print(f" ({error})", style="yellow", soft_wrap=True)
        return
    screen.print()
    if talk.speed:
        speed = talk.speed
        figures = f"{speed.tokens} tokens, {speed.per_second:,.0f} tok/s, the first after {1000 * speed.first:.0f} ms"
        reused = f"; {speed.reused} of {speed.prompt} prompt tokens came from the cache"
        screen.print(f"  {figures}{reused}", style="dim", soft_wrap=True)


def _welcome(screen: Console, party: Party) -> None:
    dish = party.restaurant.dishes[0].name
    screen.print(
        f"\n{party.restaurant.name}, table {party.table}. {party.waiter} comes to your table.",
        style="bold",
    )
    screen.print(
        f"Ask, for example: {QUESTIONS['price'][0].format(dish=dish)}   (/menu shows the menu, /quit ends)\n"
    )


def _menu(house: Restaurant) -> Text:
    lines = [
        f"  {dish.name:<22}{dish.euros:>3} euros {dish.minutes:>3} minutes" for dish in house.dishes
    ]
    return Text("\n".join(lines))
