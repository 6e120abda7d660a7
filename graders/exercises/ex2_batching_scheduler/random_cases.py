"""How random traces are drawn for each law of exercise 2: each play stays close to the law it is for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graders.checking.check_context import CheckContext
from graders.checking.random_cases import Case, Picks
from graders.simulation.judge import judge
from graders.simulation.scheduler_rules import EngineSetting
from graders.simulation.script import STRANGER, EngineScript
from graders.simulation.toy_model import TextNumbers

Move = Callable[[Picks], None]
VOCABULARY = 5


class SchedulerCases:
    """A script and the moves that plays are made of. longest, answers: tokens of a prompt, of an answer, at most."""

    def __init__(
        self, setting: EngineSetting, *, longest: int = 6, answers: int = 4, guesses: Sequence[int] = (0,)
    ) -> None:
        self.setting = setting
        self.script = EngineScript(setting, TextNumbers(VOCABULARY), guesses)
        self.longest = longest
        self.answers = answers
        self._count = 0

    def add(self, move: Picks) -> None:
        """A newcomer: prompt length, answer length, and perhaps an EOS."""
        length, answer = move.number(1, self.longest), move.number(1, self.answers)
        self.newcomer(text(length, self._count + 1), answer, eos=move.pick((None, None, 0, 1)))

    def add_with_priority(self, move: Picks) -> None:
        length, answer = move.number(1, self.longest), move.number(1, self.answers)
        self.newcomer(text(length, self._count + 1), answer, priority=move.pick((0, 1, 2, -1)))

    def newcomer(self, prompt: Sequence[int], answer: int, *, priority: int = 0, eos: int | None = None) -> None:
        """Somebody with a new id (1, 0, 3, 2, 5, 4, ...); the prompt is cut to what could ever fit."""
        fits = max(1, self.setting.capacity - self.setting.lookahead - answer)
        self.script.add(self._count ^ 1, prompt[:fits], answer, priority=priority, eos=eos)
        self._count += 1

    def step(self, move: Picks) -> None:
        self.script.step()

    def abort(self, move: Picks) -> None:
        """Somebody leaves, between two steps or in the middle of one."""
        who, within = move.number(0, 7), move.pick((False, True))
        if within:
            self.script.plan()
        self.script.abort(who)
        if within:
            self.script.commit()

    def play(self, context: CheckContext, case: Case, moves: Sequence[Move], *, conserving: bool = True) -> None:
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
    belt = SchedulerCases(EngineSetting(num_blocks=48, max_seqs=16, token_budget=256))

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

    belt.play(context, case, (belt.add, belt.step, belt.step, refused), conserving=False)


def join_and_leave(context: CheckContext, case: Case) -> None:
    """Law 2.2: few seats, many requests, answers of different lengths."""
    belt = SchedulerCases(EngineSetting(max_seqs=case.setup.pick((2, 1, 3))), answers=5)
    belt.play(context, case, (belt.add, belt.step, belt.add))


def budget(context: CheckContext, case: Case) -> None:
    """Law 2.3: more to compute than the budget of a step."""
    setup = case.setup
    belt = SchedulerCases(
        EngineSetting(token_budget=setup.pick((4, 2, 1, 3, 7)), max_seqs=setup.pick((3, 2, 8))), longest=9
    )
    belt.play(context, case, (belt.add, belt.step, belt.step))


def chunks(context: CheckContext, case: Case) -> None:
    """Law 2.4: prompts longer than a chunk."""
    setup = case.setup
    setting = EngineSetting(chunk=setup.pick((2, 3, 1, 4)), token_budget=setup.pick((16, 3, 5, 8)), max_seqs=3)
    belt = SchedulerCases(setting, longest=9)
    belt.play(context, case, (belt.add, belt.step, belt.step))


def head_of_line(context: CheckContext, case: Case) -> None:
    """Law 2.5: a small pool; a big head is followed by small ones. Answers are short: nobody has to grow much."""
    setup = case.setup
    setting = EngineSetting(
        num_blocks=setup.pick((6, 8, 5, 10)), block_size=setup.pick((4, 2)), watermark=setup.pick((0, 1, 2))
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
    )
    belt = SchedulerCases(setting, longest=4, answers=6)
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
    """Law 2.8: requests leave while they wait, prefill, decode, are preempted, and between plan and commit."""
    setup = case.setup
    setting = EngineSetting(
        num_blocks=setup.pick((16, 6, 8)), block_size=2, max_seqs=3, token_budget=setup.pick((16, 3))
    )
    belt = SchedulerCases(setting, answers=5)
    belt.play(context, case, (belt.add, belt.abort, belt.step, belt.step))


def lookahead(context: CheckContext, case: Case) -> None:
    """Law 2.9: several tokens a commit, with EOS and max_new in the middle of them."""
    setup = case.setup
    count = setup.pick((2, 1, 3))
    budget = count + setup.pick((16, 1, 3, 5))
    setting = EngineSetting(block_size=setup.pick((4, 1, 2)), lookahead=count, token_budget=budget)
    belt = SchedulerCases(setting, answers=7, guesses=[setup.number(0, count), count, 0, 1, count])
    belt.play(context, case, (belt.add, belt.step, belt.step))


def borrowing(context: CheckContext, case: Case) -> None:
    """Law 2.10: requests with a common beginning, one after the other and at once; whole prompts that are cached."""
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
        num_blocks=setup.pick((9, 7, 12)), block_size=setup.pick((2, 1)), max_seqs=setup.pick((3, 2))
    )
    belt = SchedulerCases(setting, longest=4, answers=6)

    def long(move: Picks) -> None:
        belt.newcomer(text(setting.capacity, 7), move.number(1, 4))

    def newcomer(move: Picks) -> None:
        belt.add(move)
        belt.script.step()

    belt.play(context, case, (newcomer, newcomer, long, belt.step))
