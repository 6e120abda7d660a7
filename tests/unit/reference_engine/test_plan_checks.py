"""Wrong parts in the engine: each is named with what it did and in which step, and none makes the
engine hang."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from reference_engine.engine import Engine
from reference_engine.model_loader import load_model
from reference_engine.parts import PartError, PartMissing, Parts, load_part
from reference_engine.slots import Block, Chunk, Copy, Plan, Request
from solutions.ex1_paged_allocation.block_manager import BlockManager
from solutions.ex2_batching_scheduler.scheduler import Scheduler
from solutions.ex3_prefix_cache.prefix_cache import PrefixCache

MODEL = load_model("random:tiny")
REQUESTS = [Request(id, [id + 1] * (3 + 4 * id), 8) for id in range(4)]


def run(
    scheduler: type = Scheduler,
    manager: type = BlockManager,
    cache: type = PrefixCache,
    **sizes: int,
) -> None:
    """Serve a few requests with a wrong part."""
    Engine(
        MODEL,
        Parts(manager, scheduler, cache),
        **{"num_blocks": 20, "block_size": 4, "token_budget": 16, **sizes},
    ).generate(REQUESTS)


def changed(change: Callable[[Plan], Any], at: int = 3) -> type:
    """A scheduler whose plan number `at` is changed on its way out."""

    class Changed(Scheduler):
        plans = 0

        def plan(self) -> Plan:
            plan = super().plan()
            self.plans += 1
            return change(plan) if self.plans == at + 1 else plan  # type: ignore[no-any-return]

    return Changed


def first(plan: Plan, **fields: Any) -> Plan:
    """The plan with its first chunk changed."""
    return replace(plan, chunks=(replace(plan.chunks[0], **fields), *plan.chunks[1:]))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda plan: None, r"plan\(\) returned None, not a Plan"),
        (
            lambda plan: replace(plan, chunks=list(plan.chunks)),
            r"plan\(\)\.chunks is \[.*, not a tuple",
        ),
        (
            lambda plan: replace(plan, chunks=()),
            "the plan is empty while 4 requests are unfinished",
        ),
        (lambda plan: replace(plan, chunks=(*plan.chunks, "x")), "holds 'x', not a Chunk"),
        (lambda plan: first(plan, length=1.0), "not a Chunk of whole numbers"),
        (lambda plan: first(plan, id=99), "names request 99, which is unknown"),
        (lambda plan: first(plan, start=0), r"request \d starts at 0, but \d+ tokens have KV"),
        (lambda plan: first(plan, length=0), r"covers \[\d+, \d+\) of \d+ tokens"),
        (lambda plan: first(plan, length=50), r"covers \[\d+, \d+\) of \d+ tokens"),
        (lambda plan: first(plan, samples=False), "yet it does not sample"),
        (lambda plan: replace(plan, chunks=plan.chunks[:1] * 2), "two chunks for request"),
        (
            lambda plan: replace(plan, preempted=(plan.chunks[0].id,)),
            "preempted and has a chunk in the same plan",
        ),
        (
            lambda plan: replace(plan, preempted=(77,)),
            "request 77 was preempted, but it kept its blocks",
        ),
        (lambda plan: replace(plan, copies=(1,)), "copies hold 1, not a Copy"),
    ],
)
def test_a_changed_plan_is_refused(change: Callable[[Plan], Any], sentence: str) -> None:
    with pytest.raises(PartError, match=f"^scheduler: step 3: .*{sentence}") as caught:
        run(changed(change))
    assert (caught.value.slot, caught.value.step) == ("scheduler", 3)


def test_copies_of_foreign_blocks_are_the_block_managers() -> None:
    with pytest.raises(PartError, match=r"^block_manager: step 3: Copy\(src=1, dst=20\)"):
        run(changed(lambda plan: replace(plan, copies=(Copy(1, 20),))))


def test_a_budget_is_a_budget() -> None:
    class Spender(Scheduler):
        def __init__(self, kv: Any, *, token_budget: int, **rest: Any) -> None:
            super().__init__(kv, token_budget=token_budget + 8, **rest)

    with pytest.raises(PartError, match=r"the plan costs 2. tokens, the budget is 16"):
        run(Spender, num_blocks=40)


def test_seats_are_counted() -> None:
    class Crowd(Scheduler):
        def __init__(self, kv: Any, *, max_seqs: int, **rest: Any) -> None:
            super().__init__(kv, max_seqs=max_seqs + 1, **rest)

    with pytest.raises(PartError, match="3 requests run at once, at most 2 may"):
        run(Crowd, max_seqs=2)


class Restless:
    """Seats one guest, then throws out the one who sat before: each rule is kept, and nobody ever
    reads to the end."""

    def __init__(self, kv: Any, **_: Any) -> None:
        self.kv = kv
        self.requests: list[Request] = []
        self.seated: dict[int, int] = {}

    @property
    def idle(self) -> bool:
        return not self.requests

    def add(self, request: Request) -> None:
        self.requests.append(request)

    def plan(self) -> Plan:
        preempted: tuple[int, ...] = ()
        if len(self.seated) == 2:
            victim = next(iter(self.seated))
            self.kv.drop(victim, self.request(victim).prompt[: self.seated.pop(victim)])
            preempted, next_one = (victim,), next(iter(self.seated))
            assert self.kv.extend(next_one, self.seated[next_one] + 1) is not None
        else:
            next_one = next(
                request.id for request in self.requests if request.id not in self.seated
            )
            self.seated[next_one] = self.kv.admit(next_one, self.request(next_one).prompt, 1)
        self.seated[next_one] += 1
        return Plan((Chunk(next_one, self.seated[next_one] - 1, 1, False),), preempted, ())

    def commit(self, plan: Plan, tokens: Mapping[int, Sequence[int]]) -> list[int]:
        return []

    def request(self, id: int) -> Request:
        return next(request for request in self.requests if request.id == id)


def test_silence_during_a_long_prompt_is_not_held_against_the_next_guest() -> None:
    engine = Engine(
        MODEL,
        Parts(BlockManager, Scheduler),
        num_blocks=60,
        block_size=4,
        max_seqs=1,
        token_budget=4,
    )
    long = engine.add([1] * 90, 5)
    engine.add([2] * 9, 5)
    for _ in range(20):
        assert engine.step() == []
    engine.abort(long)
    assert [len(event.tokens) for _ in range(3) for event in engine.step()] == [1]


def test_a_scheduler_that_serves_nobody_is_stopped() -> None:
    engine = Engine(MODEL, Parts(BlockManager, Restless), num_blocks=20, block_size=4)  # type: ignore[type-abstract]
    for _ in range(2):
        engine.add([1] * 9, 5)
    with pytest.raises(
        PartError, match=r"^scheduler: step 18: 19 steps went by and nobody has got a token"
    ):
        while True:
            engine.step()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda output: output.append(1), "it should have"),
        (lambda output: output.pop(), "it should have"),
        (lambda output: output.__setitem__(-1, 127 - output[-1]), "it should have"),
    ],
)
def test_an_output_that_was_tampered_with_is_seen(
    spoil: Callable[[list[int]], Any], sentence: str
) -> None:
    class Spoiler(Scheduler):
        def commit(self, plan: Plan, tokens: Mapping[int, Sequence[int]]) -> list[int]:
            finished = super().commit(plan, tokens)
            for entry in self._entries.values():
                if entry.request.output:
                    spoil(entry.request.output)
                    break
            return finished

    with pytest.raises(PartError, match=f"^scheduler: step 0: .*{sentence}"):
        run(Spoiler)


def test_finishing_is_not_the_schedulers_to_invent() -> None:
    class Silent(Scheduler):
        def commit(self, plan: Plan, tokens: Mapping[int, Sequence[int]]) -> list[int]:
            super().commit(plan, tokens)
            return []

    with pytest.raises(PartError, match=r"commit\(\) returned \[\], but \[\d.*\] have finished"):
        run(Silent)


def test_blocks_of_the_finished_must_come_back() -> None:
    class Hoarder(Scheduler):
        def _leave(self, entry: Any) -> None:
            self._running.remove(entry)

    with pytest.raises(PartError, match=r"request \d is over, but keeps its blocks"):
        run(Hoarder, num_blocks=60)


def test_what_has_no_kv_does_not_enter_the_cache() -> None:
    class Eager(Scheduler):
        def _leave(self, entry: Any) -> None:
            self._running.remove(entry)
            self._kv.drop(entry.request.id, entry.tokens)

    with pytest.raises(
        PartError, match=r"offers \d+ tokens of request \d to the cache; \d+ have KV"
    ):
        run(Eager)


@pytest.mark.parametrize("method", ["add", "plan", "commit"])
def test_an_exception_of_the_scheduler_is_its_own(method: str) -> None:
    def fail(self: object, *_: object) -> None:
        raise IndexError("pop from empty list")

    with pytest.raises(
        PartError, match=r"^scheduler: step 0: raised IndexError: pop from empty list"
    ):
        run(type("Failing", (Scheduler,), {method: fail}))


def test_an_exception_of_the_block_manager_is_its_own() -> None:
    class Failing(BlockManager):
        def extend(self, seq: int, num_tokens: int) -> tuple[list[Block], list[Copy]]:
            raise KeyError(seq)

    with pytest.raises(PartError, match=r"^block_manager: step 1: raised KeyError: 0"):
        run(manager=Failing)


def test_an_exception_of_the_cache_is_its_own() -> None:
    class Failing(PrefixCache):
        def match(self, *_: Any) -> Any:
            raise RecursionError("too deep")

    with pytest.raises(PartError, match=r"^prefix_cache: step 0: raised RecursionError: too deep"):
        run(cache=Failing)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda table: [0, *table[1:]], "lists block 0, which is scratch"),
        (lambda table: [99, *table[1:]], "lists 99, which is no block of the pool"),
        (lambda table: ["a", *table[1:]], "lists 'a', which is no block of the pool"),
        (lambda table: table[:-1], "tokens were reserved"),
        (lambda table: [*table, table[0]], r"lists block \d+ twice"),
        (
            lambda table: [1, 2, 3, 4, 5, 6, 7, 8][: len(table)],
            r"is about to write block \d, which another table lists",
        ),
        (lambda table: None, r"table\(\d\) returned None"),
    ],
)
def test_a_spoilt_block_table_is_refused(
    spoil: Callable[[Sequence[Block]], Any], sentence: str
) -> None:
    class Spoiler(BlockManager):
        def table(self, seq: int) -> Sequence[Block]:
            return spoil(list(super().table(seq)))  # type: ignore[no-any-return]

    with pytest.raises(PartError, match=f"^block_manager: step 0: .*{sentence}"):
        run(manager=Spoiler)


def test_free_blocks_are_a_number_of_the_pool() -> None:
    with pytest.raises(PartError, match=r"^block_manager: step 0: num_free is -1"):
        run(
            manager=type(
                "Liar",
                (BlockManager,),
                {"num_free": property(lambda self: -1), "can_admit": lambda *_: True},
            )
        )


def test_a_part_that_cannot_be_made_is_named() -> None:
    class Unwilling(BlockManager):
        def __init__(self, *_: Any, **__: Any) -> None:
            raise NotImplementedError("write this")

    with pytest.raises(
        PartError, match=r"^block_manager: .*raised NotImplementedError: write this"
    ):
        run(manager=Unwilling)


def test_a_failed_engine_says_so_again() -> None:
    engine = Engine(MODEL, Parts(BlockManager, changed(lambda plan: None, at=0)), num_blocks=20)
    engine.add([1, 2], 3)
    for _ in range(3):
        with pytest.raises(PartError, match="not a Plan"):
            engine.step()


def test_parts_are_read_from_files(tmp_path: Any) -> None:
    path = tmp_path / "block_manager.py"
    with pytest.raises(PartMissing, match="cannot be read"):
        load_part(path, "block_manager")
    path.write_text("class BlockManager:\n    def f(self)\n")
    with pytest.raises(PartMissing, match="line 2"):
        load_part(path, "block_manager")
    path.write_text("1 / 0")
    with pytest.raises(PartMissing, match="cannot be imported: ZeroDivisionError"):
        load_part(path, "block_manager")
    path.write_text("BlockManager = 3")
    with pytest.raises(PartMissing, match="has no class BlockManager"):
        load_part(path, "block_manager")
    path.write_text("class BlockManager: ...\n")
    assert load_part(path, "block_manager").__name__ == "BlockManager"
    with pytest.raises(PartMissing, match="has no build_tree or propose"):
        load_part(path, "medusa")
    with pytest.raises(ValueError, match="unknown slot"):
        load_part(path, "waiter")


def test_chunks_must_be_contiguous_for_newcomers_too() -> None:
    def skip(plan: Plan) -> Plan:
        chunk = plan.chunks[0]
        return replace(
            plan, chunks=(Chunk(chunk.id, 1, chunk.length - 1, chunk.samples), *plan.chunks[1:])
        )

    with pytest.raises(PartError, match="starts at 1, but 0 tokens have KV"):
        run(changed(skip, at=0))
