"""The model of a timed run: the same text as in one process, nothing believed of what is asked, no
token unsaid."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from graders.sandbox.guest import throughput
from graders.sandbox.guest.asking_runner import asking_engine
from graders.sandbox.protocol import ProtocolError
from graders.throughput.model_room import ModelRoom
from graders.throughput.paired_runs import oracle_agrees
from graders.workloads import Trace, TraceRequest, workload
from reference_engine.engine import Engine
from reference_engine.model_loader import load_model
from reference_engine.parts import Parts
from solutions.ex1_paged_allocation.block_manager import BlockManager
from solutions.ex2_batching_scheduler.scheduler import Scheduler
from solutions.ex4_medusa import medusa

MODEL = "random:tiny"
PARTS = Parts(BlockManager, Scheduler, None)
LENGTHS = (4, 9, 20)  # the last one is read in two passes, the first of which says nothing
TRACE = Trace(
    "small",
    *(1, MODEL),
    tuple(TraceRequest(tuple(range(3, 3 + length)), 5) for length in LENGTHS),
    *(1 + 8, 2),
    block_size=4,
)
ROOM = {
    "num_blocks": TRACE.num_blocks,
    "block_size": TRACE.block_size,
    "max_seqs": TRACE.max_seqs,
    "token_budget": 16,
}


class Wire:
    """Both ends of it, JSON between them. asked: every pass."""

    def __init__(self, room: ModelRoom) -> None:
        self.room = room
        self.asked: list[dict[str, Any]] = []

    def ask(self, wanted: dict[str, Any]) -> Any:
        self.asked.append(json.loads(json.dumps(wanted)))
        return json.loads(json.dumps(self.room.told(copy.deepcopy(self.asked[-1]))))


def served(wire: Wire, lengths: tuple[int, ...] = LENGTHS, **sizes: int) -> list[list[int]]:
    engine = asking_engine(wire)(load_model(MODEL), PARTS, **ROOM | sizes)
    return [list(text) for text in engine.generate(_requests(lengths))]


def _requests(lengths: tuple[int, ...] = LENGTHS) -> Any:
    return [
        SimpleNamespace(prompt=tuple(range(3, 3 + length)), max_new=5, eos=None, priority=0)
        for length in lengths
    ]


def test_the_text_is_that_of_an_engine_in_one_process() -> None:
    room = ModelRoom(TRACE, guesses=False)
    outputs = served(Wire(room))
    assert outputs == [
        list(text) for text in Engine(load_model(MODEL), PARTS, **ROOM).generate(_requests())
    ]
    assert room.unsaid(TRACE, outputs) == 0
    assert room.unheard(TRACE) == 0
    assert len(room.passes) >= 10  # two seats for three requests of five tokens


def test_a_token_that_no_pass_has_said_is_found() -> None:
    room = ModelRoom(TRACE, guesses=False)
    outputs = served(Wire(room))
    assert ModelRoom(TRACE, guesses=False).unsaid(TRACE, outputs) == 15  # said by somebody else
    outputs[1][3] += 1
    assert room.unsaid(TRACE, outputs) in (1, 2)


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [((20, 20), {"num_blocks": 16 * TRACE.num_blocks}), ((3, 5, 13), {"max_seqs": 3})],
)
def test_a_larger_pool_or_more_seats_are_refused_from_outside(
    lengths: tuple[int, ...], sizes: dict[str, int]
) -> None:
    served(Wire(ModelRoom(TRACE, guesses=False)), lengths)
    with pytest.raises(ProtocolError, match="is too much"):
        served(Wire(ModelRoom(TRACE, guesses=False)), lengths, **sizes)


SPAN = [0, 0, 1, 0, [3, 4]]


@pytest.mark.parametrize(
    "changed",
    [
        {"spans": []},
        {"spans": [SPAN, SPAN]},
        {"spans": [[2, 0, 1, 0, [3]]]},
        {"spans": [[-1, 0, 1, 0, [3]]]},
        {"spans": [[0, -1, 1, 0, [3]]]},
        {"spans": [[0, 10**6, 1, 0, [3]]]},
        {"spans": [[0, 0, 3, 0, [3, 4]]]},
        {"spans": [[0, 0, -1, 0, [3, 4]]]},
        {"spans": [[0, 0, 1, 1, [3, 4]]]},
        {"spans": [[0, 0, 1, 0, []]]},
        {"spans": [[0, 0, 1, 0, [-1]]]},
        {"spans": [[0, 0, 1, 0, [10**9]]]},
        {"spans": [[0, 0, 1, 0, [True]]]},
        {"spans": [[0, 0, 1, 0, [3] * 600]]},
        {"spans": [[0, 0, 1, 0]]},
        {"spans": [7]},
        {"spans": None},
        {"tables": [[0, 0, 9]]},
        {"tables": [[0, 0, -1]]},
        {"tables": [[2, 0, 1]]},
        {"tables": [[0, 10**6, 1]]},
        {"tables": [[0, 0]]},
        {"kv": [[[1], [9], True]]},
        {"kv": [[[1], [36], False]]},
        {"kv": [[[1], [-1], False]]},
        {"kv": [[[1, 2], [1], False]]},
        {"kv": [[[1], [1], 1]]},
        {"kv": [7]},
        {"tree": [[0], [[1, 1]]]},
        {"tree": [[0, -1], [[1, 0], [1, 1]]]},
        {"tree": [[0, 1], [[1, 0]]]},
        {"tree": [[0] * 65, [[1] * 65] * 65]},
        {"tree": 7},
        {"more": 1},
    ],
)
def test_what_is_asked_is_not_believed(changed: dict[str, Any]) -> None:
    room = ModelRoom(TRACE, guesses=False)
    right = {"tables": [[0, 0, 1]], "kv": [], "spans": [SPAN], "tree": None}
    assert len(room.told({"forward": dict(right)})["likeliest"]) == 1
    with pytest.raises(ProtocolError):
        room.told({"forward": right | changed})


def ask(room: ModelRoom, *spans: list[Any], tables: tuple[list[int], ...] = ()) -> list[int]:
    wanted = {"tables": [*map(list, tables)], "kv": [], "spans": [*spans], "tree": None}
    found: list[int] = room.told({"forward": wanted})["likeliest"]
    return found


def test_a_guess_put_into_an_idle_seat_is_found() -> None:
    """Two seats that share their blocks read one text: one its last token, the other what a part
    thinks comes then."""
    room, prompt = ModelRoom(TRACE, guesses=False), list(TRACE.requests[0].prompt)
    tables = tuple([seat, place, 1 + place] for seat in (0, 1) for place in (0, 1))
    (said,) = ask(room, [0, 0, 1, 0, prompt], tables=tables)
    assert room.unheard(TRACE) == 0
    ask(room, [0, 4, 1, 0, [said]], [1, 5, 1, 0, [said + 1]])
    assert room.unheard(TRACE) == 1


def test_without_heads_there_is_no_tree_and_one_row_says_something() -> None:
    room = ModelRoom(TRACE, guesses=False)
    for spans, tree in (
        ([[0, 0, 2, 0, [3, 4]]], None),
        ([[0, 0, 2, 2, [3, 4]]], [[0, 1], [[1, 0], [1, 1]]]),
    ):
        with pytest.raises(ProtocolError):
            room.told({"forward": {"tables": [[0, 0, 1]], "kv": [], "spans": spans, "tree": tree}})
    with pytest.raises(ProtocolError, match="guesses"):
        room.told({"guess": {"rows": [0], "count": 1}})


TALK = workload("predictable_talk_1", 3)
TALK = replace(TALK, requests=(replace(TALK.requests[0], max_new=24),))


@pytest.mark.parametrize(
    "changed",
    [
        {"rows": []},
        {"rows": [1]},
        {"rows": [0, 0]},
        {"rows": [-1]},
        {"rows": None},
        {"count": 0},
        {"count": 10**6},
        {"count": True},
        {"more": 1},
    ],
)
def test_heads_guess_once_a_pass_for_each_request_as_much_as_the_tree_takes(
    changed: dict[str, Any],
) -> None:
    room = ModelRoom(TALK, guesses=True)
    ask(room, [0, 0, 1, 0, [3, 4]], tables=([0, 0, 1],))
    with pytest.raises(ProtocolError):
        room.told({"guess": {"rows": [0], "count": 1} | changed})
    assert room.told({"guess": {"rows": [0], "count": 1}})["guesses"]
    with pytest.raises(ProtocolError, match="none are made"):
        room.told({"guess": {"rows": [0], "count": 1}})


class OwnGuesses:
    """The part of exercise 4 whose guesses are no head's."""

    def __getattr__(self, name: str) -> Any:
        return getattr(medusa, name)

    def propose(self, tree: Any, root: Any, topk: Any) -> Any:
        return (medusa.propose(tree, root, topk) + 1) % 512


@pytest.mark.parametrize("part", [medusa, OwnGuesses()])
def test_a_tree_holds_guesses_of_the_heads_alone(part: Any) -> None:
    room = ModelRoom(TALK, guesses=True)
    talked(part, Wire(room))
    assert (room.unheard(TALK) > 0) == (part is not medusa)


def talked(part: Any, wire: Wire) -> Any:
    throughput.COSTS.clear()  # so that trees are tried first of all
    loaded: Any = SimpleNamespace(parts={"medusa": part}, line=wire)
    sizes = {
        "num_blocks": TALK.num_blocks,
        "block_size": TALK.block_size,
        "max_seqs": TALK.max_seqs,
    }
    served = throughput.new(loaded, [TALK.model, TALK.cached, True], sizes)
    return throughput.serve(served, [[list(one.prompt), one.max_new] for one in TALK.requests])


def test_guesses_are_made_of_states_that_never_leave_the_grader() -> None:
    room = ModelRoom(TALK, guesses=True)
    wire = Wire(room)
    outputs = talked(medusa, wire)
    assert [len(text) for text in outputs] == [24]
    assert room.unsaid(TALK, outputs) == 0
    assert any(asked["forward"]["tree"] for asked in wire.asked if "forward" in asked)
    assert len(room.passes) < 24
    assert oracle_agrees(TALK, tuple(outputs[0]), 0)
