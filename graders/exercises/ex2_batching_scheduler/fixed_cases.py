"""Short stories that a random trace seldom tells, the same in every run: each law of exercise 2
begins with its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from graders.checking.check_context import CheckContext
from graders.checking.failure import Broken
from graders.exercises.ex2_batching_scheduler.random_cases import (
    VOCABULARIES,
    VOCABULARY,
    SchedulerCases,
    text,
)
from graders.simulation.engine import SimulatedEngine
from graders.simulation.judge import Heed, always, judge
from graders.simulation.scheduler_rules import EngineSetting
from graders.simulation.script import EngineScript
from graders.simulation.toy_model import TextNumbers

Sizes = Sequence[tuple[int, int]]  # of requests: tokens of the prompt, of the answer
LARGE = 300  # of tokens: equal ints above 256 are not the same object
CROWD = 300  # requests that come in one story
BATCH = 128
MOMENT = 1 << 60  # nanoseconds since 1970, nearly
FAR = 16  # guesses
LONGEST = 9_000  # tokens of a prompt: more than any engine's chunk
USUAL = " The scheduler was told neither `chunk` nor `lookahead`: they are None and 0 then."
UNTOLD_POLICY = ' The scheduler was told no `policy`: it is "fcfs" then.'
SHARED = " Is something kept between objects, in a class attribute, a module variable or a default argument?"


def lives(context: CheckContext) -> None:
    """Law 2.1: each of the following."""
    alone(context)
    usual_values(context)
    a_second_scheduler(context)
    long_lives(context)
    ids_come_back(context)
    somebody_comes_within(context)


def alone(context: CheckContext) -> None:
    """Law 2.1: one request after the other, whose answers end in different ways; in between none is
    present.

    Tokens are as large as those of language models: equal ones are not the same object.
    """
    for vocabulary in VOCABULARIES[1:]:
        script = EngineScript(EngineSetting(), TextNumbers(vocabulary))
        for id, eos_at in ((0, None), (2, 0), (1, 1), (3, 3), (4, 2), (-1, 1), (1 << 40, 2)):
            prompt = text(5, id)
            will = script.toy.say(prompt, 4, None)
            script.add(id, prompt, 4, eos=None if eos_at is None else will[eos_at])
            script.drain()
            script.rest()
        judge(context, script)


def usual_values(context: CheckContext) -> None:
    """Law 2.1: a scheduler that is told neither chunk nor lookahead has no cap and no guesses, as
    one that is told so."""
    setting = EngineSetting(num_blocks=100, block_size=128, token_budget=LONGEST)
    _all_at_once(context, setting, [(LONGEST, 2)])
    _all_at_once(context, replace(setting, brief=True), [(LONGEST, 2)], more=USUAL)


def long_lives(context: CheckContext) -> None:
    """Law 2.1: lengths above 256, where equal ints are not the same object: of a prompt, and of an
    answer."""
    setting = EngineSetting(num_blocks=40, block_size=256, token_budget=LARGE)
    for length, answer in ((LARGE, 2), (1, LARGE), (LARGE - 1, 1)):
        _all_at_once(context, setting, [(length, answer)])


def ids_come_back(context: CheckContext) -> None:
    """Law 2.1: the id of whoever has finished is free again, many times over; known while it is
    here."""
    script = EngineScript(EngineSetting(), TextNumbers(VOCABULARY))
    script.add(7, text(3, 1), 2)
    script.step()
    script.again(0, text(3, 2), 1)
    script.drain()
    for number in range(3):
        script.anew(7, text(2 + number, number), 2)
        script.step()
        script.again(0, text(3, 2), 1)
        script.drain()
        script.rest()
    judge(context, script)


def somebody_comes_within(context: CheckContext) -> None:
    """Law 2.1: a plan is committed although the queue is not what it was: whoever was planned gets
    the tokens."""
    script = EngineScript(EngineSetting(), TextNumbers(VOCABULARY))
    script.add(0, text(3, 0), 3)
    for id in (1, 2):
        script.plan()
        script.add(id, text(3, id), 2)
        script.commit()
    script.drain()
    judge(context, script)


def a_second_scheduler(context: CheckContext) -> None:
    """Law 2.1: what one scheduler was told is nothing to the next one."""
    first, second = EngineScript(EngineSetting()), EngineScript(EngineSetting())
    first.add(0, [1, 2, 3], 4)
    first.step()
    first.add(1, [1, 2, 3], 4)
    second.rest()
    judge(context, first)
    try:
        judge(context, second, label="another_scheduler", more=SHARED)
    except Broken as broken:
        broken.trace = None  # alone it says nothing: the first scheduler was there before it
        raise


def many(context: CheckContext) -> None:
    """Law 2.2: hundreds come and are served in the order in which they came; a batch of 128."""
    _all_at_once(context, EngineSetting(max_seqs=32), [(1, 1)] * CROWD)
    _all_at_once(
        context,
        EngineSetting(num_blocks=300, max_seqs=128, token_budget=512),
        [(2, 3)] * (BATCH + 2),
    )
    script = EngineScript(EngineSetting(max_seqs=2), TextNumbers(VOCABULARY))
    for id in range(4):
        script.add(id, text(2, id), 1 + id % 2)
    script.plan()
    script.add(4, text(1, 4), 1)
    script.commit()
    script.drain()
    judge(context, script)


def decodes_first(context: CheckContext) -> None:
    """Law 2.3: somebody decodes when one who matters more begins to read a prompt longer than the
    budget; and budgets that are used up to the last token.

    Under the other policy decodes are never short: those who came later sat down with what was
    left.
    """
    belt = SchedulerCases(EngineSetting(token_budget=4, policy="priority"))
    belt.newcomer(text(2, 1), 6, priority=5)
    belt.script.step()
    belt.newcomer(text(12, 2), 2)
    belt.script.drain()
    judge(context, belt.script)
    for budget in (3, LARGE):
        _all_at_once(
            context,
            EngineSetting(num_blocks=400, token_budget=budget),
            [(budget, 1), (budget + 1, 2), (1, 2)],
        )


def chunks(context: CheckContext) -> None:
    """Law 2.4: a short step for three, and chunks above 256 tokens."""
    a_queue_in_order(context)
    for longest in (LARGE, LARGE + 1, 2 * LARGE):
        setting = EngineSetting(num_blocks=400, chunk=LARGE, token_budget=3 * LARGE)
        _all_at_once(context, setting, [(longest, 2), (1, 3)])


def a_queue_in_order(context: CheckContext) -> None:
    """Law 2.4: three long prompts share a step that is too short for them; the last to come is cut
    short."""
    _all_at_once(context, EngineSetting(token_budget=5, chunk=2, max_seqs=3), [(6, 2)] * 3)


def a_big_head(context: CheckContext) -> None:
    """Law 2.5: the head of the queue does not fit, whoever stands behind it does; then the very
    last block is taken."""
    for watermark in (0, 1):
        setting = EngineSetting(num_blocks=7 + watermark, watermark=watermark)
        _all_at_once(context, setting, [(8, 3), (14, 1), (2, 1)])
        _all_at_once(context, setting, [(20, 4), (4, 1)])
        _all_at_once(context, setting, [(16, 1), (4, 1), (4, 1)])


def preemptions(context: CheckContext) -> None:
    """Law 2.6: the same few requests in pools of many sizes; one victim or several, decodes and
    prefills among them."""
    for size, blocks, chunk in product((1, 2), range(5, 12), (None, 1, 3)):
        setting = EngineSetting(num_blocks=blocks, block_size=size, chunk=chunk, token_budget=6)
        _all_at_once(context, setting, [(3, 3), (2, 5), (1, 6), (1, 4)])
    for blocks in (7, 8):
        setting = EngineSetting(num_blocks=blocks, block_size=1, chunk=3, token_budget=5)
        _all_at_once(
            context, setting, [(6, 1), (1, 5), (1, 5)]
        )  # three blocks at once: more than one victim has
    _late_returns(context, heed=_preempting)
    _copies(context)
    script = EngineScript(
        EngineSetting(num_blocks=4, block_size=2, token_budget=6), TextNumbers(VOCABULARY)
    )
    for id in (0, 1):
        script.add(id, text(2, id), 4)
    for _ in range(3):
        script.step()
        script.again(1, text(2, 2), 1)  # preempted or not, it is here
    script.drain()
    script.anew(1, text(2, 3), 2)
    script.drain()
    judge(context, script)
    _a_long_day(context)


def _a_long_day(context: CheckContext) -> None:
    """Hundreds come to a small pool, one in every step, and many are preempted: whatever is lost
    now and then is missed in the end."""
    belt = SchedulerCases(
        EngineSetting(num_blocks=9, block_size=2, max_seqs=4, token_budget=8, chunk=3)
    )
    for number in range(CROWD):
        belt.newcomer(text(2 + number % 3, number), 1 + number % 5)
        belt.script.step()
    belt.script.drain()
    judge(context, belt.script)


def priorities(context: CheckContext) -> None:
    """Law 2.7: whoever matters least came first, and decodes when two others begin to read long
    prompts.

    Where it is preempted its budget returns, once: in long chunks the second of the two could do
    with more.
    """
    for policy, blocks, (chunk, begun) in product(
        ("priority", "fcfs"), range(8, 15), ((2, 1), (3, 3))
    ):
        belt = SchedulerCases(
            EngineSetting(
                num_blocks=blocks,
                block_size=1,
                token_budget=2 + chunk,
                chunk=chunk,
                policy=policy,
                max_seqs=3,
            )
        )
        belt.newcomer(text(begun, 1), 6, priority=5)
        belt.script.step()
        for number in (2, 3):
            belt.newcomer(text(7, number), 1)
        belt.script.drain()
        judge(context, belt.script)
    _the_usual_policy(context)
    _a_victim_behind_somebody(context)
    _moments_as_priorities(context)
    belt = SchedulerCases(EngineSetting(num_blocks=5, block_size=2, policy="priority"))
    belt.newcomer(text(5, 1), 3, priority=5)
    belt.script.step()
    belt.newcomer(text(5, 2), 2)  # matters more, does not fit, and waits all the same
    belt.script.drain()
    judge(context, belt.script)
    belt = SchedulerCases(EngineSetting(token_budget=3, chunk=2, policy="priority"))
    for number, priority in ((1, 5), (2, 0), (3, 5), (4, -1)):
        belt.newcomer(text(9, number), 2, priority=priority)
        belt.script.step()
    belt.script.drain()
    judge(context, belt.script)


def _the_usual_policy(context: CheckContext) -> None:
    """Priorities mean nothing to a scheduler that is told no policy, as to one that is told "fcfs"."""
    for brief in (False, True):
        belt = SchedulerCases(EngineSetting(max_seqs=1, brief=brief))
        for number, priority in ((1, 5), (2, 0), (3, -1)):
            belt.newcomer(text(3, number), 2, priority=priority)
        belt.script.drain()
        judge(context, belt.script, more=UNTOLD_POLICY * brief)


def _moments_as_priorities(context: CheckContext) -> None:
    """Deadlines in nanoseconds: apart by one, they are one and the same to a float."""
    belt = SchedulerCases(EngineSetting(max_seqs=1, policy="priority"))
    for number, priority in ((1, MOMENT), (2, MOMENT + 1), (3, MOMENT)):
        belt.newcomer(text(2, number), 1, priority=priority)
    belt.script.drain()
    judge(context, belt.script)


def _a_victim_behind_somebody(context: CheckContext) -> None:
    """Somebody who matters more waits for a seat; who is preempted meanwhile goes behind."""
    belt = SchedulerCases(
        EngineSetting(num_blocks=7, block_size=1, chunk=1, max_seqs=2, policy="priority")
    )
    for number in (1, 2):
        belt.newcomer(text(1, number), 5, priority=5)
    belt.script.step()
    belt.newcomer(text(1, 3), 1)
    belt.script.drain()
    judge(context, belt.script)


def aborts(context: CheckContext) -> None:
    """Law 2.8: one of three requests leaves in every step of the run, before its plan and after it."""
    for who, when, within in product(range(3), range(6), (False, True)):
        blocks = 6 + 2 * ((who + when) % 2)
        belt = SchedulerCases(
            EngineSetting(num_blocks=blocks, block_size=2, token_budget=5, max_seqs=2)
        )
        for number in range(3):
            belt.newcomer(text(4, number), 4)
        for step in range(7):
            if step == when and not within:
                belt.script.abort(who)
            belt.script.plan()
            if step == when and within:
                belt.script.abort(who)
            belt.script.commit()
        belt.script.drain()
        belt.script.rest()
        judge(context, belt.script)


def departures(context: CheckContext) -> None:
    """Law 2.8: aborts at every place, and ids that come back at once."""
    aborts(context)
    ids_of_the_aborted(context)


def ids_of_the_aborted(context: CheckContext) -> None:
    """Law 2.8: somebody new comes under the id of one who was aborted, before a commit and after
    it. What was said to the one is nothing to the other (engines had this wrong:
    vllm-project/vllm#23697)."""
    for steps, within, beside in product((0, 1, 2), (True, False), (0, 1)):
        script = EngineScript(EngineSetting(), TextNumbers(VOCABULARIES[-1]))
        script.add(5, text(3, 5), 4)
        for id in range(6, 6 + beside):
            script.add(id, text(2, id), 4)
        for _ in range(steps):
            script.step()
        script.plan()
        if not within:
            script.commit()
        script.abort(0)
        script.anew(5, text(4, 1), 3)
        script.commit()
        script.drain()
        script.anew(5, text(2, 2), 2)
        script.drain()
        script.abort(0)
        script.rest()
        judge(context, script)
    script = EngineScript(EngineSetting(max_seqs=1), TextNumbers(VOCABULARY))
    for id in (0, 1, 2):
        script.add(id, text(3, id), 3)
    script.step()
    script.abort(0)
    script.anew(0, text(3, 4), 1)  # behind all others
    script.drain()
    for id in (0, 1, 2):
        script.add(id, text(3, id), 3)
    script.plan()
    for _ in range(3):
        script.abort(0)  # all of them
    script.commit()
    script.rest()
    judge(context, script)


def several_tokens(context: CheckContext) -> None:
    """Law 2.9: guesses at every edge: of the budget, the pool, the answer and the text; none while
    a prompt is read."""
    belt = SchedulerCases(
        EngineSetting(num_blocks=6, block_size=1, max_seqs=2, token_budget=6, chunk=1, lookahead=1)
    )
    for length in (2, 3):
        belt.newcomer(text(length, length), 1)
    belt.script.drain()
    judge(context, belt.script)
    _late_returns(context)
    for ahead, told, eos_at in product((1, 2, 3), (0, 1, 3), (None, 1, 2)):
        setting = EngineSetting(
            block_size=2, lookahead=ahead, token_budget=2 * ahead + 3, chunk=2, max_seqs=3
        )
        script = EngineScript(setting, TextNumbers(VOCABULARY), [told, ahead, told])
        for id in range(3):
            will = script.toy.say(text(4, id), 5, None)
            script.add(id, text(4, id), 5, eos=None if eos_at is None else will[eos_at])
        script.drain()
        judge(context, script)
    _all_at_once(
        context, EngineSetting(max_seqs=2, lookahead=2, token_budget=4), [(1, 6), (2, 4), (5, 1)]
    )
    _all_at_once(
        context, EngineSetting(lookahead=2, token_budget=5), [(1, 2), (1, 2), (4, 2)]
    )  # the second waits
    script = EngineScript(
        EngineSetting(lookahead=FAR, token_budget=3 * FAR), TextNumbers(VOCABULARY), [FAR, 7, 0, 1]
    )
    for id, answer in enumerate((1, FAR, FAR + 1, 3 * FAR)):
        script.add(id, text(4, id), answer)
    script.drain()
    judge(context, script)
    for blocks in range(9, 13):
        _all_at_once(
            context,
            EngineSetting(num_blocks=blocks, block_size=1, lookahead=2, token_budget=14),
            [(3, 3)] * 3,
        )
    least = EngineSetting(num_blocks=5, block_size=2, lookahead=2, token_budget=3)
    script = EngineScript(least, TextNumbers(VOCABULARY), [2])
    script.add(0, text(4, 0), least.capacity - 5)  # too long by one, the lookahead counted
    script.add(1, text(4, 1), least.capacity - 6)
    script.add(2, text(least.capacity - 2, 2), 1)  # whoever says one token is no exception
    script.add(3, text(least.capacity - 3, 3), 1)
    script.drain()
    judge(context, script)


def borrowing(context: CheckContext) -> None:
    """Law 2.10: the same prompt again and again, whole and with something behind it; preempted
    requests come back."""
    for size, ahead in product((1, 2, 3), (0, 2)):
        setting = EngineSetting(num_blocks=40, block_size=size, cache=True, lookahead=ahead)
        script = EngineScript(setting, TextNumbers(VOCABULARY))
        for id, prompt in enumerate(
            (text(6, 0), text(6, 0), [*text(6, 0), 1, 2], text(3, 0), text(7, 0))
        ):
            script.add(id, prompt, 3)
            script.drain()
        judge(context, script)
    script = EngineScript(
        EngineSetting(num_blocks=5, block_size=2, cache=True), TextNumbers(VOCABULARY)
    )
    script.add(0, text(6, 0), 2)
    script.drain()
    script.add(1, text(8, 0), 1)  # too long, although the cache holds most of it
    judge(context, script)
    belt = SchedulerCases(EngineSetting(block_size=2, cache=True, max_seqs=1))
    belt.newcomer(text(6, 1), 1)
    belt.script.drain()
    for number in (2, 1):  # what the cache holds of the second is no reason to go first
        belt.newcomer(text(5, number), 2)
    belt.script.drain()
    judge(context, belt.script)
    for blocks in range(6, 12):
        setting = EngineSetting(num_blocks=blocks, block_size=2, cache=True, token_budget=8)
        _all_at_once(context, setting, [(4, 5), (3, 5), (2, 5)])


def fairness(context: CheckContext) -> None:
    """Law 2.11: somebody comes in every step, and a victim stands before all of them."""
    for blocks, seats in product(range(6, 11), (2, 3)):
        belt = SchedulerCases(EngineSetting(num_blocks=blocks, block_size=2, max_seqs=seats))
        for length, answer in ((4, 5), (3, 6), (2, 3), (1, 2), (4, 2), (2, 2)):
            belt.newcomer(text(length, length), answer)
            belt.script.step()
        belt.script.drain()
        judge(context, belt.script)


# ---------------------------------------------------------------- what they are made of


def _all_at_once(
    context: CheckContext, setting: EngineSetting, requests: Sizes, *, more: str = ""
) -> None:
    belt = SchedulerCases(setting)
    for number, (length, answer) in enumerate(requests):
        belt.newcomer(text(length, number), answer)
    belt.script.drain()
    judge(context, belt.script, more=more)


def _preempting(engine: SimulatedEngine) -> bool:
    """Whether the last plan preempted somebody: what went wrong before is the affair of another
    law."""
    return bool(engine.moments and engine.moments[-1].preempted)


def _late_returns(context: CheckContext, heed: Heed = always) -> None:
    """Three requests read long prompts token by token; the last of them, with a short one, decodes
    soon and is planned first. Then a prefill before it lacks blocks.

    Lookahead makes the decode dear: the second prefill is served in that step only if the victim's
    budget has returned.
    """
    for chunk, blocks in product((1, 2), range(8, 16)):
        setting = EngineSetting(
            num_blocks=blocks,
            block_size=1,
            token_budget=3 + chunk,
            chunk=chunk,
            lookahead=2,
            max_seqs=3,
        )
        belt = SchedulerCases(setting)
        for length, answer in ((3 + 2 * chunk, 1), (3 + 2 * chunk, 1), (2, 4)):
            belt.newcomer(text(length, length + answer), min(answer, setting.capacity - length - 2))
        belt.script.drain()
        judge(context, belt.script, heed=heed)


def _copies(context: CheckContext) -> None:
    """The last block of a request is shared, it must write to a copy, and is planned as long as it
    runs."""
    for blocks, before, who in product(range(8, 14), (1, 3), (0, 1, 2)):
        belt = SchedulerCases(
            EngineSetting(
                num_blocks=blocks,
                block_size=2,
                chunk=1 if who == 1 else 2,
                token_budget=5,
                max_seqs=3,
            )
        )
        for length, answer in ((9, 1), (1, 5), (1, 5)):  # ids 1, 0, 3
            belt.newcomer(text(length, answer), answer)
        for _ in range(before):
            belt.script.step()
        belt.script.fork(who)
        belt.script.step()
        belt.script.join()
        belt.script.drain()
        judge(context, belt.script)
