"""A plan held against what is true. Nothing that a scheduler returns is believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reference_engine.parts import PartError
from reference_engine.recording_kv import RecordingKV
from reference_engine.request_state import RequestState
from reference_engine.slots import SCRATCH, Chunk, Copy, Plan


@dataclass(frozen=True, slots=True)
class SchedulerLimits:
    """What the scheduler was told."""

    max_seqs: int
    token_budget: int
    lookahead: int
    num_blocks: int
    block_size: int


def check_plan(
    plan: object, requests: Mapping[int, RequestState], kv: RecordingKV, limits: SchedulerLimits
) -> Plan:
    """The plan, if every promise about it holds that can be seen from here. Raises PartError for
    the scheduler."""
    if not isinstance(plan, Plan):
        raise PartError("scheduler", f"plan() returned {_short(plan)}, not a Plan")
    for name in ("chunks", "preempted", "copies"):
        if not isinstance(getattr(plan, name), tuple):
            raise PartError(
                "scheduler", f"plan().{name} is {_short(getattr(plan, name))}, not a tuple"
            )
    if not plan.chunks:
        raise PartError(
            "scheduler", f"the plan is empty while {len(requests)} requests are unfinished"
        )
    seen, cost = set[int](), 0
    for chunk in plan.chunks:
        _check_chunk(chunk, requests, kv, limits)
        if chunk.id in seen:
            raise PartError("scheduler", f"the plan has two chunks for request {chunk.id}")
        seen.add(chunk.id)
        cost += chunk.length + limits.lookahead * chunk.samples
    if cost > limits.token_budget:
        raise PartError(
            "scheduler", f"the plan costs {cost} tokens, the budget is {limits.token_budget}"
        )
    if kv.running > limits.max_seqs:
        raise PartError(
            "scheduler", f"{kv.running} requests run at once, at most {limits.max_seqs} may"
        )
    _check_preempted(plan, seen, kv)
    _check_copies(plan, kv, limits.num_blocks)
    return plan


def check_output(state: RequestState, *, whole: bool) -> None:
    """The scheduler's output of a request is the engine's: its length and last tokens, or all of it
    if `whole`."""
    output, said = state.request.output, state.said
    first = 0 if whole else max(0, said - 8)
    if len(output) != said or output[first:] != state.tokens[state.prompt + first :]:
        raise PartError(
            "scheduler",
            f"after commit() the output of request {state.id} has {len(output)} tokens ending in {output[-3:]}; "
            f"it should have {said} ending in {state.tokens[state.prompt :][-3:]}",
        )


def _check_chunk(
    chunk: object, requests: Mapping[int, RequestState], kv: RecordingKV, limits: SchedulerLimits
) -> None:
    if (
        not isinstance(chunk, Chunk)
        or not type(chunk.id) is type(chunk.start) is type(chunk.length) is int
    ):
        raise PartError(
            "scheduler", f"the plan holds {_short(chunk)}, not a Chunk of whole numbers"
        )
    if chunk.id not in requests:
        raise PartError(
            "scheduler", f"the plan names request {chunk.id}, which is unknown or has finished"
        )
    if chunk.id not in kv:
        raise _wrong(chunk, "is planned, but the request was not admitted")
    state = requests[chunk.id]
    computed, end, length = (
        kv.admitted.get(chunk.id, state.computed),
        chunk.start + chunk.length,
        len(state.tokens),
    )
    if chunk.start != computed:
        raise _wrong(chunk, f"starts at {chunk.start}, but {computed} tokens have KV")
    if chunk.length < 1 or end > length:
        raise _wrong(chunk, f"covers [{chunk.start}, {end}) of {length} tokens")
    if chunk.samples is not (end == length):
        said = "samples" if chunk.samples else "does not sample"
        raise _wrong(chunk, f"ends at {end} of {length} tokens, yet it {said}")
    reserved, needed = kv.reserved(chunk.id), end + limits.lookahead * chunk.samples
    if reserved < needed:
        raise _wrong(chunk, f"needs slots for {needed} tokens, {reserved} were reserved")


def _wrong(chunk: Chunk, what: str) -> PartError:
    return PartError("scheduler", f"the chunk of request {chunk.id} {what}")


def _check_preempted(plan: Plan, planned: set[int], kv: RecordingKV) -> None:
    for id in plan.preempted:
        if id in planned:
            raise PartError(
                "scheduler", f"request {id} is preempted and has a chunk in the same plan"
            )
        if id not in kv.left:
            raise PartError(
                "scheduler",
                f"the plan says that request {id!r} was preempted, but it kept its blocks",
            )
    silent = [id for id in kv.left if id not in plan.preempted]
    if silent:
        raise PartError(
            "scheduler",
            f"the blocks of request {silent[0]} were dropped, but no preemption is planned",
        )
    if plan.preempted and kv.admitted:
        raise PartError(
            "scheduler", f"request {next(iter(kv.admitted))} is admitted in a step that preempted"
        )
    idle = [id for id in kv.admitted if id not in planned]
    if idle:
        raise PartError("scheduler", f"request {idle[0]} was admitted, but has no chunk")


def _check_copies(plan: Plan, kv: RecordingKV, num_blocks: int) -> None:
    for copy in (*plan.copies, *(copy for copies in kv.forked.values() for copy in copies)):
        if not isinstance(copy, Copy):
            raise PartError("scheduler", f"the plan's copies hold {_short(copy)}, not a Copy")
        if not all(
            type(block) is int and SCRATCH < block < num_blocks for block in (copy.src, copy.dst)
        ):
            raise PartError("block_manager", f"{copy} names a block that is not of the pool")
    for id, copies in kv.copies.items():
        for copy in copies:
            if copy not in plan.copies:
                raise PartError(
                    "scheduler", f"the plan lacks the {copy} that extending request {id} asked for"
                )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
