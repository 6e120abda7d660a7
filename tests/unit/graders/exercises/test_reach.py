"""What the traces of exercises 1 and 2 can reach, as tables: a fault that no trace comes near can
live with every law.

Every law is tried with its judge exchanged for one that only takes note of the trace. A line of a
table is a thing that traces have to do, in every run, whatever the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from local_worker import LocalWorker

import graders.checking.workers
from graders.checking.check_context import CheckContext
from graders.checking.workers import Source, Workers
from graders.exercises.ex1_paged_allocation.judge import BlockManagerJudge
from graders.exercises.ex1_paged_allocation.operations import (
    BlockManagerCall,
    BlockManagerScript,
    Blocks,
)
from graders.registry.catalogue import catalogue
from graders.simulation.judge import SchedulerJudge
from graders.simulation.script import EngineScript
from graders.submissions.source import read

SEEDS = range(2)
Call = tuple[BlockManagerScript, BlockManagerCall]


@pytest.fixture(params=SEEDS)
def scripts(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int, str], list]:
    """Scripts of one law, by exercise and name; "" for those of all unit laws."""
    found: list = []
    monkeypatch.setattr(graders.checking.workers, "Worker", LocalWorker)
    monkeypatch.setattr(BlockManagerJudge, "judge", lambda judge: found.append(judge._script))
    monkeypatch.setattr(SchedulerJudge, "judge", lambda judge: found.append(judge._script))

    def drawn(exercise: int, law: str) -> list:
        entry = catalogue(exercise)
        submission = read(
            Path("solutions", entry.slug, entry.file_name).resolve(), entry.class_name
        )
        workers = Workers([Source(entry.slot, submission.name, submission.source)])
        for each in entry.laws:
            if each.kind == "unit" and each.name != "constant time" and law in ("", each.name):
                each.check(CheckContext(entry, each.number, submission, workers, request.param))
        return found

    return drawn


def missed(table: dict, law: str, scripts: list) -> list[str]:
    """The lines about a law that its traces do not come to."""
    return [
        line for line, (about, reached) in table.items() if about == law and not reached(scripts)
    ]


# ---------------------------------------------------------------- exercise 1


def calls(scripts: Iterable[BlockManagerScript], *methods: str) -> Iterator[Call]:
    return (
        (script, move)
        for script in scripts
        for move in script.moves
        if not methods or move.method in methods
    )


def forms(scripts: Iterable[BlockManagerScript], *methods: str) -> set[str]:
    return {
        arg.form
        for _, move in calls(scripts, *methods)
        for arg in move.args
        if isinstance(arg, Blocks)
    }


def lists(scripts: Iterable[BlockManagerScript], *methods: str) -> list[tuple[int, ...]]:
    return [
        arg.names
        for _, move in calls(scripts, *methods)
        for arg in move.args
        if isinstance(arg, Blocks)
    ]


def ids(scripts: Iterable[BlockManagerScript]) -> set[int]:
    return {seq for _, move in calls(scripts) for seq in move.seqs}


PAGED: dict[str, tuple[str, Callable[[list[BlockManagerScript]], bool]]] = {
    "ids 0, negative, large, and above 256": (
        "block arithmetic",
        lambda s: ids(s) >= {0, 1, -1, 300, 1 << 40},
    ),
    "ids in every law": ("truncate", lambda s: ids(s) >= {0, 1, -1, 300}),
    "blocks of 1 to 1,024 tokens": (
        "block arithmetic",
        lambda s: {each.spec.block_size for each in s} >= {1, 2, 3, 4, 7, 16, 100, 256, 1000, 1024},
    ),
    "a pool used up": ("giving back", lambda s: any(used_up(each) for each in s)),
    "far too much": (
        "all or nothing",
        lambda s: any(move.args[1] >= 1000 for _, move in calls(s, "admit", "extend")),
    ),
    "hundreds of references to a block": (
        "sharing",
        lambda s: any(move.args[2] >= 256 for _, move in calls(s, "forks")),
    ),
    "tables of thousands of blocks": (
        "sharing",
        lambda s: max(len(m.names) for _, m in calls(s)) >= 1500,
    ),
    "no block of its own": (
        "sharing",
        lambda s: any(not own(script, move) for script, move in calls(s, "admit")),
    ),
    "sequences of every kind": (
        "sharing",
        lambda s: forms(s, "admit") == {"list", "tuple", "array"},
    ),
    "growth by nothing above 256": (
        "copy-on-write",
        lambda s: any(move.args[1] > 256 and not move.refused for _, move in calls(s, "extend")),
    ),
    "copies below the watermark": (
        "watermark",
        lambda s: any(
            each.spec.watermark and {"fork", "extend"} <= {m.method for m in each.moves}
            for each in s
        ),
    ),
    "what a growth takes, with a watermark": (
        "watermark",
        lambda s: any(script.spec.watermark for script, _ in calls(s, "blocks_needed")),
    ),
    "lists of nothing": (
        "retain and release",
        lambda s: () in lists(s, "retain") and () in lists(s, "release"),
    ),
    "iterables of every kind": (
        "retain and release",
        lambda s: forms(s, "retain", "release") == {"list", "tuple", "array", "iterator"},
    ),
    "a block hundreds of times": (
        "retain and release",
        lambda s: max(map(len, lists(s, "retain"))) >= 256,
    ),
    "thousands of calls": (
        "retain and release",
        lambda s: any(move.args[0] * len(move.args[1]) > 10_000 for _, move in calls(s, "rounds")),
    ),
    "scratch": (
        "refusals",
        lambda s: all((0,) in lists(s, method) for method in ("retain", "release", "admit")),
    ),
    "whoever has left": ("refusals", lambda s: any(after_free(each) for each in s)),
}


def used_up(script: BlockManagerScript) -> bool:
    blocks = {block for move in script.moves for block in move.names}
    return len(blocks) == script.spec.num_blocks - 1


def own(script: BlockManagerScript, move: BlockManagerCall) -> int:
    """Blocks that an admission with shared ones takes; 1 for any other."""
    shared = [arg for arg in move.args if isinstance(arg, Blocks)]
    tokens = move.args[1]
    assert isinstance(tokens, int)
    return script.spec.blocks_for(tokens) - len(shared[0].names) if shared else 1


def after_free(script: BlockManagerScript) -> bool:
    freed = {move.args[0] for move in script.moves if move.method == "free" and not move.refused}
    return any(
        move.method in ("length", "table", "blocks_needed") and move.args[0] in freed
        for move in script.moves
    )


@pytest.mark.parametrize("law", sorted({law for law, _ in PAGED.values()}))
def test_traces_of_paged_allocation_reach(law: str, scripts: Callable[[int, str], list]) -> None:
    assert missed(PAGED, law, scripts(1, law)) == []


def test_calls_that_are_made_over_and_over_leave_nothing_behind() -> None:
    """What the specification says of the story of a thousand rounds: it begins where it ends."""
    from graders.exercises.ex1_paged_allocation.fixed_cases import _there_and_back

    script = BlockManagerScript(12, 4)
    script.admit(1, 6)
    before = (script.spec.tables[1], script.spec.num_free)
    _there_and_back(script)
    assert (script.spec.tables[1], script.spec.num_free) == before
    assert list(script.spec.tables) == [1]
    assert [move.method for move in script.moves if move.refused] == ["extend", "admit"]


# ---------------------------------------------------------------- exercise 2


def newcomers(scripts: Iterable[EngineScript]) -> list:
    return [move.newcomer for script in scripts for move in script.moves if move.newcomer]


def orders(scripts: Iterable[EngineScript], *methods: str) -> bool:
    """Whether these moves follow each other somewhere."""
    return any(
        tuple(move.method for move in script.moves[at : at + len(methods)]) == methods
        for script in scripts
        for at in range(len(script.moves))
    )


SERVED: dict[str, tuple[str, Callable[[list[EngineScript]], bool]]] = {
    "ids 0, negative, large, and above 256": (
        "life cycle",
        lambda s: {each.id for each in newcomers(s)} >= {0, 1, -1, 300, 1 << 40},
    ),
    "an EOS as large as a language model's": (
        "life cycle",
        lambda s: any((n.eos or 0) > 10_000 for n in newcomers(s)),
    ),
    "an EOS that is said": (
        "life cycle",
        lambda s: sum(n.eos in n.will[: n.max_new] for n in newcomers(s)) > 10,
    ),
    "a prompt and an answer above 256": (
        "life cycle",
        lambda s: (
            max(len(n.prompt) for n in newcomers(s))
            > 256
            < max(n.max_new for n in newcomers(s) if len(n.prompt) < 3)
        ),
    ),
    "an id that comes back": ("life cycle", lambda s: orders(s, "rest", "anew")),
    "somebody comes within a step": ("life cycle", lambda s: orders(s, "plan", "add", "commit")),
    "hundreds of arrivals": (
        "join and leave",
        lambda s: max(len(newcomers([each])) for each in s) >= 300,
    ),
    "a batch of 128": ("join and leave", lambda s: max(each.setting.max_seqs for each in s) >= 128),
    "a decode beside a longer prompt that matters more": (
        "token budget",
        lambda s: any(e.setting.policy == "priority" for e in s),
    ),
    "chunks above 256": (
        "chunked prefill",
        lambda s: max(each.setting.chunk or 0 for each in s) > 256,
    ),
    "a long day": ("preemption", lambda s: max(len(newcomers([each])) for each in s) >= 300),
    "an id that is taken by a waiting victim": (
        "preemption",
        lambda s: any(m.method == "again" for e in s for m in e.moves),
    ),
    "priorities of every size": (
        "priorities",
        lambda s: {each.priority for each in newcomers(s)} >= {0, 1, -1, 300, -(1 << 40)},
    ),
    "an id that comes back before the commit": (
        "abort",
        lambda s: orders(s, "plan", "abort", "anew", "commit"),
    ),
    "everybody aborted within": (
        "abort",
        lambda s: orders(s, "plan", "abort", "abort", "abort", "commit"),
    ),
    "more guesses than a handful": (
        "several tokens",
        lambda s: max(each.setting.lookahead for each in s) >= 16,
    ),
    "guesses beside running prefills": (
        "several tokens",
        lambda s: any(each.setting.lookahead and each.setting.chunk == 1 for each in s),
    ),
    "whole prompts that are cached": (
        "borrowed prefix",
        lambda s: any(each.setting.cache for each in s),
    ),
}


@pytest.mark.parametrize("law", sorted({law for law, _ in SERVED.values()}))
def test_traces_of_scheduling_reach(law: str, scripts: Callable[[int, str], list]) -> None:
    assert missed(SERVED, law, scripts(2, law)) == []
