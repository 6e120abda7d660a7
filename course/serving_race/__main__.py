"""`make serve-bench`: servers side by side, and our engine offline, on the same requests in one
interleaved run.

Every round asks every server the same, the order turns from round to round, and whoever is not
asked is stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.table import Table

from course.playground import part_mix
from course.serving_race.client import Answered, Asked, ask_all
from course.serving_race.servers import SERVERS, Room, Server, running
from course.sigterm import interruptible
from course.terminal import clean, console
from reference_engine.engine import Engine
from reference_engine.model import Model
from reference_engine.model_loader import load_model
from reference_engine.slots import Request
from reference_engine.waiter.corpus import guests
from reference_engine.waiter.menu import restaurants

SEATS, KV_TOKENS, BLOCK_SIZE = 64, 49152, 16
ANSWER, STREAMS, TALKING, LATE, LONG = 32, 16, 96, 8, 900
OFFLINE = "offline"
TARGETS = {
    "vllm": ("requests/s at 64 together, ours : vllm serve", 1.5),
    "llama.cpp": ("requests/s at 64 together, ours : llama.cpp's server", 2.0),
    OFFLINE: ("tokens/s, ours : our engine offline", 0.85),
}
SLOWER = ("p99 between tokens, 8 long prompts arriving : none", 2.0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is asked. watched: only the first so many answers count, the others are there to disturb
    them."""

    name: str
    asked: tuple[Asked, ...]
    watched: int


@dataclass(frozen=True, slots=True)
class Lap:
    """What one server did in one round of one scenario. Times in seconds. cpu: seconds of the
    server and of the client on all cores, for everything that was asked.
    """

    server: str
    scenario: str
    round: int
    requests_a_second: float
    tokens_a_second: float
    first: float
    gap: float
    gap_99: float
    server_cpu: float = 0.0
    client_cpu: float = 0.0


def scenarios(model: Model, round: int, scale: float) -> list[Scenario]:
    """Many at once; streams that talk; the same while long prompts arrive. Prompts are drawn anew
    for each round."""
    many, streams = max(2, round_up(2 * SEATS * scale)), max(2, round_up(STREAMS * scale))
    prompts = [
        _prompt(model, each.prompt(0))
        for each in guests(restaurants()[0], many + streams, 1000 + round)
    ]
    talks = tuple(Asked(prompt, TALKING) for prompt in prompts[many:])
    words = [token for prompt in prompts for token in prompt] * 4
    late = [Asked(tuple(words[97 * n : 97 * n + LONG]), 4, 0.3 + 0.1 * n) for n in range(LATE)]
    return [
        Scenario("together", tuple(Asked(prompt, ANSWER) for prompt in prompts[:many]), many),
        Scenario("talking", talks, streams),
        Scenario("disturbed", (*talks, *late), streams),
    ]


def round_up(count: float) -> int:
    return -int(-count // 1)


def _prompt(model: Model, text: str) -> tuple[int, ...]:
    return tuple(model.tokenizer.encode(text).ids)


def lap(server: Server, scenario: Scenario, number: int) -> Lap:
    """Ask one server. Raises RuntimeError when an answer is missing."""
    with server.awake() as port:
        before = server.cpu()
        answers, taken = ask_all(port, scenario.asked, SEATS)
        spent = server.cpu() - before, taken.cpu
    wrong = next((answer.error for answer in answers if answer.error), "")
    if wrong:
        raise RuntimeError(
            f"{server.name} left a request of “{scenario.name}” without its answer: {wrong}"
        )
    return _lap(server.name, scenario, number, answers[: scenario.watched], taken.seconds, spent)


def offline(engine: Engine, scenario: Scenario, number: int) -> Lap:
    """The same requests without any server and any client, on the same cores."""
    began, spent = time.perf_counter(), time.process_time()
    engine.generate(
        Request(place, list(each.prompt), each.max_new) for place, each in enumerate(scenario.asked)
    )
    seconds, spent = time.perf_counter() - began, time.process_time() - spent
    answers = [Answered(each.max_new, seconds, (0.0,), seconds) for each in scenario.asked]
    return _lap(OFFLINE, scenario, number, answers, seconds, (spent, 0.0))


def _lap(
    name: str,
    scenario: Scenario,
    number: int,
    answers: Sequence[Answered],
    seconds: float,
    cpu: tuple[float, float],
) -> Lap:
    gaps = sorted(gap for answer in answers for gap in answer.gaps)
    return Lap(
        name,
        scenario.name,
        number,
        len(answers) / seconds,
        sum(answer.tokens for answer in answers) / seconds,
        median(answer.first for answer in answers),
        median(gaps),
        gaps[min(len(gaps) - 1, int(0.99 * len(gaps)))],
        *cpu,
    )


def race(servers: Sequence[Server], rounds: int, scale: float) -> Iterator[Lap]:
    """The laps; round 0 warms everybody up and is not among them."""
    model = load_model("waiter")
    parts = part_mix.parts(part_mix.mix((), None))
    engine = Engine(model, parts, num_blocks=KV_TOKENS // BLOCK_SIZE + 1, max_seqs=SEATS)
    for number in range(rounds + 1):
        turn = number % len(servers)
        for scenario in scenarios(model, number, scale):
            for server in (*servers[turn:], *servers[:turn]):
                done = lap(server, scenario, number)
                if number:
                    yield done
            if scenario.name == "together":
                done = offline(engine, scenario, number)
                if number:
                    yield done


def table(laps: Sequence[Lap]) -> Table:
    """A row a server and scenario, medians over the rounds. CPU s: of the server and of the client."""
    shown = Table(
        "server",
        "scenario",
        "requests/s",
        "tokens/s",
        "first token",
        "between",
        "p99 between",
        "CPU s",
    )
    for name, scenario in dict.fromkeys((each.server, each.scenario) for each in laps):
        mine = [each for each in laps if (each.server, each.scenario) == (name, scenario)]
        rates = [f"{median(each.requests_a_second for each in mine):.1f}"]
        rates += [f"{median(each.tokens_a_second for each in mine):,.0f}"]
        times = [
            median(getattr(each, field) for each in mine) for field in ("first", "gap", "gap_99")
        ]
        told = (
            ["", "", ""] if name == OFFLINE else [f"{1000 * seconds:.1f} ms" for seconds in times]
        )
        cpu = [
            median(getattr(each, field) for each in mine) for field in ("server_cpu", "client_cpu")
        ]
        shown.add_row(name, scenario, *rates, *told, f"{cpu[0]:.2f} + {cpu[1]:.2f}")
    return shown


def verdicts(laps: Sequence[Lap]) -> list[str]:
    """What is promised, as the median of the rounds' own ratios: each round compares what ran side
    by side."""
    lines = []
    for name, (what, least) in TARGETS.items():
        field = "tokens_a_second" if name == OFFLINE else "requests_a_second"
        ratios = _ratios(laps, ("ours", "together"), (name, "together"), field)
        if ratios:
            lines.append(f"{what}: {median(ratios):.2f} (at least {least})")
    ratios = _ratios(laps, ("ours", "disturbed"), ("ours", "talking"), "gap_99")
    if ratios:
        lines.append(f"{SLOWER[0]}: {median(ratios):.2f} (at most {SLOWER[1]})")
    return lines


def _ratios(
    laps: Sequence[Lap], one: tuple[str, str], other: tuple[str, str], field: str
) -> list[float]:
    found = {(each.server, each.scenario, each.round): getattr(each, field) for each in laps}
    rounds = sorted({each.round for each in laps})
    pairs = [(found.get((*one, number)), found.get((*other, number))) for number in rounds]
    return [above / below for above, below in pairs if above is not None and below]


def main() -> int:
    """0 when every server that was named ran to the end, else 3."""
    parser = argparse.ArgumentParser(prog="make serve-bench", description=__doc__)
    parser.add_argument(
        "--servers", default="ours,vllm,llama.cpp", help="by name, separated by commas"
    )
    parser.add_argument("--rounds", type=int, default=5, help="that count")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the requests")
    parser.add_argument("--json", type=Path, help="write every lap to this file")
    asked = parser.parse_args()
    names = [name.strip() for name in asked.servers.split(",")]
    if strange := [name for name in names if name not in SERVERS]:
        parser.error(f"there is no server {strange[0]!r}: {', '.join(SERVERS)}")
    screen, laps, whole = console(), list[Lap](), True
    longest = load_model("waiter").config.positions
    room = Room(SEATS, KV_TOKENS, longest, len(os.sched_getaffinity(0)))
    with contextlib.ExitStack() as stack:
        servers = []
        for name in names:
            missing = SERVERS[name].missing()
            try:
                if not missing:
                    servers.append(stack.enter_context(running(SERVERS[name], room)))
            except RuntimeError as error:
                missing = str(error)
            if missing:
                whole = False
                screen.print(
                    clean(f"{name} is left out: {missing}."), style="yellow", soft_wrap=True
                )
        if not servers:
            return 3
        try:
            for done in race(servers, asked.rounds, asked.scale):
                laps.append(done)
                screen.print(
                    f"  round {done.round}  {done.scenario:<10} {done.server}", style="dim"
                )
        except RuntimeError as error:
            whole = False
            screen.print(clean(f"{error}."), style="yellow", soft_wrap=True)
    screen.print(table(laps))
    for line in verdicts(laps):
        screen.print(line, soft_wrap=True)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(each) for each in laps], indent=1))
    return 0 if whole else 3


if __name__ == "__main__":
    try:
        with interruptible():  # SIGTERM ends the servers too
            sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
