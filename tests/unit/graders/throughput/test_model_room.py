"""The model of a timed run: the same text as in one process, nothing believed of what is asked, no token unsaid."""

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
ROOM = {"num_blocks": TRACE.num_blocks, "block_size": TRACE.block_size, "max_seqs": TRACE.max_seqs, "token_budget": 16}


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
    return [SimpleNamespace(prompt=tuple(range(3, 3 + length)), max_new=5, eos=None, priority=0) for length in lengths]


def test_the_text_is_that_of_an_engine_in_one_process() -> None:
    room = ModelRoom(TRACE, guesses=False)
    outputs = served(Wire(room))
    assert outputs == [list(text) for text in Engine(load_model(MODEL), PARTS, **ROOM).generate(_requests())]
    assert room.unsaid(TRACE, outputs) == 0
    assert room.steps >= 10  # two seats for three requests of five tokens


def test_a_token_that_no_pass_has_said_is_found() -> None:
    room = ModelRoom(TRACE, guesses=False)
    outputs = served(Wire(room))
    assert ModelRoom(TRACE, guesses=False).unsaid(TRACE, outputs) == 15  # said by somebody else
    outputs[1][3] += 1
    assert room.unsaid(TRACE, outputs) in (1, 2)


@pytest.mark.parametrize(
    ("lengths", "sizes"), [((20, 20), {"num_blocks": 16 * TRACE.num_blocks}), ((3, 5, 13), {"max_seqs": 3})]
)
def test_a_larger_pool_or_more_seats_are_refused_from_outside(lengths: tuple[int, ...], sizes: dict[str, int]) -> None:
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


def test_guesses_are_made_of_states_that_came_over_the_wire() -> None:
    trace = replace(workload("predictable_talk_1", 3), requests=workload("predictable_talk_1", 3).requests[:1])
    trace = replace(trace, requests=(replace(trace.requests[0], max_new=24),))
    room = ModelRoom(trace, guesses=True)
    loaded: Any = SimpleNamespace(parts={"medusa": medusa}, line=Wire(room))
    sizes = {"num_blocks": trace.num_blocks, "block_size": trace.block_size, "max_seqs": trace.max_seqs}
    served = throughput.new(loaded, [trace.model, trace.cached, True], sizes)
    outputs = throughput.serve(served, [[list(one.prompt), one.max_new] for one in trace.requests])
    assert [len(text) for text in outputs] == [24]
    assert room.unsaid(trace, outputs) == 0
    assert any(asked["forward"]["tree"] for asked in loaded.line.asked)
    assert room.steps < 24
    assert oracle_agrees(trace, tuple(outputs[0]), 0)
