"""How random traces are drawn for each law of exercise 2: each play stays close to the law it is
for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graders.checking.check_context import CheckContext
from graders.checking.random_cases import Case, Picks
from graders.simulation.judge import judge
from graders.simulation.scheduler_rules import EngineSetting
from graders.simulation.script import STRANGER, EngineScript
from graders.simulation.toy_model import TextNumbers

Move = Callable[[Picks], None]
VOCABULARIES = (5, 5, 50_300)  # few tokens, which repeat, and more than a language model has
VOCABULARY = VOCABULARIES[0]
IDS = (  # of a case's newcomers, in the order in which they come
    (1, 0, 3, 2, 5, 4, *range(6, STRANGER)),
    (300, 0, -1, 1 << 40, 7, -(1 << 40), *range(301, 390)),
)


class SchedulerCases:
    """A script and the moves that plays are made of. longest, answers: tokens of a prompt, of an
    answer, at most."""

    def __init__(
        self,
        setting: EngineSetting,
        *,
        longest: int = 6,
        answers: int = 4,
        guesses: Sequence[int] = (0,),
        vocabulary: int = VOCABULARY,
        ids: Sequence[int] = IDS[0],
    ) -> None:
        self.setting = setting
        self.script = EngineScript(setting, TextNumbers(vocabulary), guesses)
        self.longest = longest
        self.answers = answers
        self._ids = ids
        self._count = 0

    def add(self, move: Picks) -> None:
        """A newcomer: prompt length, answer length, and perhaps an EOS, one of its first tokens or
        any."""
        length, answer = move.number(1, self.longest), move.number(1, self.answers)
        prompt, ends = text(length, self._count + 1), move.pick((None, None, 0, 2, 1))
        eos = None if ends is None else self.script.toy.say(prompt, ends + 1, None)[ends]
        self.newcomer(prompt, answer, eos=eos)

    def anew(self, move: Picks) -> None:
        """A newcomer under the id of whoever left last."""
        length, answer = move.number(1, self.longest), move.number(1, self.answers)
        self.script.anew(self._next(), self._fitting(text(length, self._count), answer), answer)

    def add_within(self, move: Picks) -> None:
        """Somebody comes between a plan and its commit."""
        self.script.plan()
        move.pick((self.add, self.add, self.anew))(move)
        self.script.commit()

    def add_with_priority(self, move: Picks) -> None:
        length, answer = move.number(1, self.longest), move.number(1, self.answers)
        self.newcomer(
            text(length, self._count + 1),
            answer,
            priority=move.pick((0, 1, 2, -1, 300, -(1 << 40))),
        )

    def newcomer(
        self, prompt: Sequence[int], answer: int, *, priority: int = 0, eos: int | None = None
    ) -> None:
        """Somebody with a new id; the prompt is cut to what could ever fit."""
        self.script.add(
            self._next(), self._fitting(prompt, answer), answer, priority=priority, eos=eos
        )

    def _next(self) -> int:
        self._count += 1
        return self._ids[self._count - 1] if self._count <= len(self._ids) else 1000 + self._count

    def _fitting(self, prompt: Sequence[int], answer: int) -> Sequence[int]:
        return prompt[: max(1, self.setting.capacity - self.setting.lookahead - answer)]

    def step(self, move: Picks) -> None:
        self.script.step()

    def abort(self, move: Picks) -> None:
        """Somebody leaves, between two steps or in the middle of one; the id may come back at once."""
        who, within, again = (
            move.number(0, 7),
            move.pick((False, True)),
            move.pick((False, True, False)),
        )
        if within:
            self.script.plan()
        self.script.abort(who)
        if again:
            self.anew(move)
        if within:
            self.script.commit()

    def play(
        self, context: CheckContext, case: Case, moves: Sequence[Move], *, conserving: bool = True
    ) -> None:
        """The moves of the case, then on until nobody is left; judged."""
        for move in case.moves:
            move.pick(moves)(move)
        self.script.drain()
        judge(context, self.script, conserving=conserving)


def text(length: int, id: int) -> list[int]:
    """Some text of so many tokens, its own for each id."""
    return [(id * 3 + position * (1 + id % 3)) % VOCABULARY for position in range(length)]


def life_cycle(context: CheckContext, case: Case) -> None:
    """Law 2.1: requests with seats, budget and room for all, and requests that must be refused.

    Who sits down when is the affair of later laws.
    """
    setting = EngineSetting(num_blocks=48, max_seqs=16, token_budget=256)
    belt = SchedulerCases(
        setting, vocabulary=case.setup.pick(VOCABULARIES), ids=case.setup.pick(IDS)
    )

    def refused(move: Picks) -> None:
        kind = move.pick(("empty", "no_answer", "too_long", "known", "just_fits"))
        if kind == "empty":
            belt.script.add(STRANGER, [], 2)
        elif kind == "no_answer":
            belt.script.add(STRANGER, [1, 2], 0)
        elif kind == "too_long":
            belt.script.add(STRANGER, [1] * 5, belt.setting.capacity - 4)
        elif kind == "just_fits":
            belt.script.drain()
            belt.newcomer(text(belt.setting.capacity - 1, 1), 1)
            belt.script.drain()
        else:
            belt.script.again(move.number(0, 7), [1, 2], 1)

    moves = (belt.add, belt.step, belt.step, refused, belt.anew, belt.add_within)
    belt.play(context, case, moves, conserving=False)


def join_and_leave(context: CheckContext, case: Case) -> None:
    """Law 2.2: few seats, many requests, answers of different lengths."""
    setup = case.setup
    belt = SchedulerCases(
        EngineSetting(max_seqs=setup.pick((2, 1, 3))), answers=5, ids=setup.pick(IDS)
    )
    belt.play(context, case, (belt.add, belt.step, belt.add, belt.add_within))


def budget(context: CheckContext, case: Case) -> None:
    """Law 2.3: more to compute than the budget of a step."""
    setup = case.setup
    belt = SchedulerCases(
        EngineSetting(token_budget=setup.pick((4, 2, 1, 3, 7)), max_seqs=setup.pick((3, 2, 8))),
        longest=9,
    )
    belt.play(context, case, (belt.add, belt.step, belt.step))


def chunks(context: CheckContext, case: Case) -> None:
    """Law 2.4: prompts longer than a chunk."""
    setup = case.setup
    setting = EngineSetting(
        chunk=setup.pick((2, 3, 1, 4)), token_budget=setup.pick((16, 3, 5, 8)), max_seqs=3
    )
    belt = SchedulerCases(setting, longest=9)
    belt.play(context, case, (belt.add, belt.step, belt.step))


def head_of_line(context: CheckContext, case: Case) -> None:
    """Law 2.5: a small pool; a big head is followed by small ones. Answers are short: nobody has to
    grow much."""
    setup = case.setup
    setting = EngineSetting(
        num_blocks=setup.pick((6, 8, 5, 10)),
        block_size=setup.pick((4, 2)),
        watermark=setup.pick((0, 1, 2)),
    )
    belt = SchedulerCases(setting, longest=setting.capacity, answers=1)

    def small(move: Picks) -> None:
        belt.longest = 3
        belt.add(move)
        belt.longest = setting.capacity

    belt.play(context, case, (belt.add, small, belt.step))


def preemption(context: CheckContext, case: Case) -> None:
    """Law 2.6: a pool too small for those who run."""
    setup = case.setup
    setting = EngineSetting(
        num_blocks=setup.pick((7, 5, 6, 9)),
        block_size=setup.pick((2, 1)),
        token_budget=setup.pick((16, 4, 5, 6)),
        chunk=setup.pick((None, 1, 2, None)),
        watermark=setup.pick((0, 0, 1)),
    )
    belt = SchedulerCases(setting, longest=4, answers=6, ids=setup.pick(IDS))
    belt.play(context, case, (belt.add, belt.step, belt.step))


def priorities(context: CheckContext, case: Case) -> None:
    """Law 2.7: the policy "priority", with seats, budget and blocks all short."""
    setup = case.setup
    setting = EngineSetting(
        num_blocks=setup.pick((24, 8, 6)),
        block_size=2,
        max_seqs=setup.pick((2, 1, 3)),
        token_budget=setup.pick((16, 3, 5)),
        policy=setup.pick(("priority", "priority", "fcfs")),
    )
    belt = SchedulerCases(setting, longest=5)
    belt.play(context, case, (belt.add_with_priority, belt.step, belt.add_with_priority))


def abort(context: CheckContext, case: Case) -> None:
    """Law 2.8: requests leave while they wait, prefill, decode, are preempted, and between plan and
    commit."""
    setup = case.setup
    setting = EngineSetting(
        num_blocks=setup.pick((16, 6, 8)),
        block_size=2,
        max_seqs=3,
        token_budget=setup.pick((16, 3)),
    )
    belt = SchedulerCases(setting, answers=5, ids=setup.pick(IDS))
    belt.play(context, case, (belt.add, belt.abort, belt.step, belt.step))


def lookahead(context: CheckContext, case: Case) -> None:
    """Law 2.9: several tokens a commit, with EOS and max_new in the middle of them."""
    setup = case.setup
    count = setup.pick((2, 1, 3))
    budget = count + setup.pick((16, 1, 3, 5))
    setting = EngineSetting(block_size=setup.pick((4, 1, 2)), lookahead=count, token_budget=budget)
    guesses = [setup.number(0, count), count, 0, 1, count]
    belt = SchedulerCases(setting, answers=7, guesses=guesses, vocabulary=setup.pick(VOCABULARIES))
    belt.play(context, case, (belt.add, belt.step, belt.step))


def borrowing(context: CheckContext, case: Case) -> None:
    """Law 2.10: requests with a common beginning, one after the other and at once; whole prompts
    that are cached."""
    setup = case.setup
    setting = EngineSetting(
        num_blocks=setup.pick((32, 8, 10)),
        block_size=setup.pick((2, 1, 4)),
        token_budget=setup.pick((32, 4)),
        max_seqs=3,
        cache=True,
    )
    belt = SchedulerCases(setting)
    menu, own = text(12, 0), iter(range(1, 1 << 30))

    def regular(move: Picks) -> None:
        prompt = menu[: move.pick((8, 4, 12, 5, 1))] + text(move.pick((0, 0, 1, 2)), next(own))
        belt.newcomer(prompt, move.number(1, 4))

    belt.play(context, case, (regular, belt.step, belt.step))


def fairness(context: CheckContext, case: Case) -> None:
    """Law 2.11: one request with a long prompt, and newcomers in every step, in a small pool."""
    setup = case.setup
    setting = EngineSetting(
        num_blocks=setup.pick((9, 7, 12)),
        block_size=setup.pick((2, 1)),
        max_seqs=setup.pick((3, 2)),
    )
    belt = SchedulerCases(setting, longest=4, answers=6)

    def long(move: Picks) -> None:
        belt.newcomer(text(setting.capacity, 7), move.number(1, 4))

    def newcomer(move: Picks) -> None:
        belt.add(move)
        belt.script.step()

    belt.play(context, case, (newcomer, newcomer, long, belt.step))
