"""An engine without a model: the parts serve requests of a toy language model, and every step is
judged.

The parts live on the other side (`side`), perhaps behind a wire. There a script is played; here are
the memory that knows what it holds, the toy model, the rules of a plan, and the requests' true
texts. So a stale or foreign read, a broken rule and a wrong output are each found in the step in
which they happen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from graders.checking.failure import Deviation, Refusals, Step, plural
from graders.checking.replies import METHODS, Raised, Reply, Returned, shown
from graders.sandbox import protocol
from graders.simulation import driver_replies
from graders.simulation.backend import Backend, items, reply_of
from graders.simulation.kv_provenance import Access, Memory
from graders.simulation.scheduler_rules import (
    EngineSetting,
    Planned,
    PlannedChunk,
    RequestSpec,
    SchedulerSpec,
)
from graders.simulation.script import EngineMove, EngineScript, Newcomer
from graders.simulation.toy_model import EMPTY, Prefix

PLAN = "answer = plan = scheduler.plan()"
GHOST = 1 << 20  # where the ids begin of whoever shares blocks with a request
IMPORTS = """\
from scheduler import Scheduler

from graders.sandbox.fakes.block_manager import BlockManager
from graders.sandbox.fakes.prefix_cache import PrefixCache
from reference_engine.kv_manager import KVManager
from reference_engine.slots import Request
"""
"""What a script of a scheduler's story begins with."""
DUE = {  # what a call comes to
    "add": "a request that waits",
    "abort": "a request that is gone",
    "plan": "a Plan(chunks, preempted, copies)",
    "commit": "a list of the ids that finished",
    "idle": "True or False",
}
OPTIONAL = ("chunk", "lookahead", "policy")
SCHEDULER_KEYWORDS = ("max_seqs", "token_budget", *OPTIONAL)


class Failed(Exception):
    """A call raised what the contract does not allow. raised: what; expected: what was due instead."""

    def __init__(self, method: str, raised: Raised, expected: str) -> None:
        super().__init__(f"`{method}` raised {raised}")
        self.method = method
        self.raised = raised
        self.expected = expected


class NoProperty(Exception):
    """Where the contract has property `name` the part has something else: `value`, as plain data."""

    def __init__(self, name: str, value: Any) -> None:
        super().__init__(f"`{name}` is {shown(value)}, not a property")
        self.name = name
        self.value = value


@dataclass(slots=True)
class RunCounters:
    """What a run took; none of it depends on the clock.

    steps; computed: tokens given KV; again: of those, how many had been computed before for the
    same request; cached: tokens that came from the prefix cache instead; preempted; longest: the
    most steps that a request had to wait for its first token; blocks: the most that were in use;
    held: tokens reserved in them then; together: the most requests that held blocks at once.
    """

    steps: int = 0
    computed: int = 0
    again: int = 0
    cached: int = 0
    preempted: int = 0
    longest: int = 0
    blocks: int = 0
    held: int = 0
    together: int = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """One step, for drawings. Ids: preempted and finished in it, aborted since the step before,
    waiting after it."""

    chunks: tuple[PlannedChunk, ...]
    preempted: tuple[int, ...]
    finished: tuple[int, ...] = ()
    aborted: tuple[int, ...] = ()
    waiting: tuple[int, ...] = ()


@dataclass(slots=True)
class Record:
    """What is remembered of a request beyond the contract: the step it came in, how far it was ever
    computed, and the numbers of its text so far.
    """

    newcomer: Newcomer
    since: int
    furthest: int = 0
    text: list[Prefix] = field(default_factory=list)


class SimulatedEngine:
    """Judges what came of a script. Raises Deviation for a broken rule, a wrong read or output;
    Failed for exceptions.

    conserving: False for the naive parts, which waste seats and budget and are right in everything
    else. method: of the part, called last. counters, moments: of the run so far. played: how many
    moves of the script. drained: the calls of the last of them, if that was "drain".
    """

    def __init__(self, side: Backend, script: EngineScript, *, conserving: bool = True) -> None:
        self.setting = script.setting
        self.spec = SchedulerSpec(self.setting, conserving=conserving)
        self.counters = RunCounters()
        self.moments: list[Moment] = []
        self.method = "__init__"
        self.played = 0
        self.drained: list[str] = []
        self._side = side
        self._script = script
        self._toy = script.toy
        self._memory = Memory(self._toy, self.setting.num_blocks, self.setting.block_size)
        self._records: dict[int, Record] = {}
        self._said: dict[int, list[int]] = {}
        self._planned = False
        self._sampled = 0
        self._left: list[int] = []
        self._ghosts: list[int] = []
        self._gone: set[int] = set()  # ids of those who were here

    def judge(self) -> None:
        """Play the script to its end."""
        moves = [move.to_wire() for move in self._script.moves]
        settings = [sent(self.setting, self._script.guesses)]
        raised = self._side.play(
            settings, {}, written(self.setting), [*moves, ["books", 0]], code(self.setting)
        )
        if raised:
            raise Failed("__init__", raised, "a scheduler")
        plays = {
            "add": self._add,
            "again": self._again,
            "anew": self._anew,
            "abort": self._abort,
            "fork": self._fork,
            "join": self._join,
            "rest": self._rest,
            "plan": self._plan,
            "commit": self._commit,
            "drain": self._drain,
        }
        for move in self._script.moves:
            self.played += 1
            plays[move.method](move)
        self._close(*self._side.next("idle", "idle"))
        self._side.finish()

    # ------------------------------------------------------------ requests come and go

    def _add(self, move: EngineMove) -> None:
        assert move.newcomer is not None
        self._come(
            move.newcomer, *self._side.next("add", f"add({move.newcomer})", _added(move.newcomer))
        )

    def _again(self, move: EngineMove) -> None:
        assert move.newcomer is not None
        reply, id = self._side.next("add", "add(…)")
        present = sorted(self.spec.requests)
        if present:
            newcomer = replace(move.newcomer, id=present[move.number % len(present)])
            self._retold(f"add({newcomer})", _added(newcomer))
            self._come(newcomer, reply, id)
        else:
            self._side.steps.pop()

    def _anew(self, move: EngineMove) -> None:
        assert move.newcomer is not None
        reply, id = self._side.next("add", "add(…)")
        if type(id) is not int or (id != move.newcomer.id and id not in self._gone):
            raise protocol.ProtocolError("an answer about somebody else")
        newcomer = replace(move.newcomer, id=id)
        self._retold(
            f"add({newcomer})" + "  # an id that was here before" * (id in self._gone),
            _added(newcomer),
        )
        self._come(newcomer, reply, id)

    def _come(self, newcomer: Newcomer, reply: Reply, id: Any) -> None:
        if id != newcomer.id:
            raise protocol.ProtocolError("an answer about somebody else")
        refusals = self.spec.refuse_add(id, newcomer.prompt, newcomer.max_new)
        allowed = self._allowed("add", reply, refusals)
        if isinstance(allowed, Returned):
            self._side.steps[-1].answer = ""
            self._look_at_idle(allowed.value)
            if allowed.value is not False:
                raise Deviation(
                    f"Request {id} waits, and the scheduler is idle.",
                    f"idle is {shown(allowed.value)}",
                    "False",
                )
            self.spec.added(id, newcomer.prompt, newcomer.max_new, newcomer.priority, newcomer.eos)
            self._records[id] = Record(newcomer, self.counters.steps)

    def _abort(self, move: EngineMove) -> None:
        reply, id = self._side.next("abort", "abort(…)")
        self._retold(f"abort({id})", f"answer = scheduler.abort({id})")
        if isinstance(reply, Returned):
            self._side.steps[-1].answer = ""
        if type(id) is not int:
            raise protocol.ProtocolError("an answer about nobody")
        reply = self._allowed("abort", reply, self.spec.refuse_abort(id))
        if isinstance(reply, Returned):
            answer = driver_replies.abort_of(reply.value)
            self._look_at_idle(answer.idle)
            self.spec.aborted(id, answer.asked, answer.held)
            self._left.append(id)
            self._gone.add(id)
            if answer.idle is not (not self.spec.requests):
                here = plural(len(self.spec.requests), "request")
                message = (
                    f"After `abort` {here} {'is' if here.startswith('1 ') else 'are'} here;"
                    f" idle is {shown(answer.idle)}."
                )
                raise Deviation(
                    message, f"idle is {shown(answer.idle)}", f"{not self.spec.requests}"
                )

    def _fork(self, move: EngineMove) -> None:
        reply, id = self._side.next("plan", "")
        self._allowed("plan", reply, {})
        self._side.steps.pop()
        if id is not None:
            self._ghosts.append(GHOST + len(self._ghosts))
            told = f"# somebody else shares the blocks of request {id} from now on"
            self._side.steps.append(Step(told, code=f"blocks.fork({id}, {self._ghosts[-1]})"))
            self.spec.beset = True

    def _join(self, move: EngineMove) -> None:
        self.spec.beset = False
        self._allowed("plan", self._side.next("plan", "")[0], {})
        self._side.steps.pop()
        self._side.steps[-1].code += "".join(f"\nblocks.free({ghost})" for ghost in self._ghosts)
        self._ghosts = []

    def _rest(self, move: EngineMove) -> None:
        """Nobody is here: the scheduler is idle, and its plan is empty."""
        code = "plan = scheduler.plan()\nanswer = scheduler.idle, plan, scheduler.commit(plan, {})"
        reply, _ = self._side.next("plan", "plan()  # nobody is here", code)
        value = _value(self._allowed("plan", reply, {}))
        self._side.steps[-1].answer = ""
        if value is None:
            self._side.steps.pop()
            return
        idle, work, finished = items(value, 3)
        self._look_at_idle(idle)
        if idle is not True or work != 0 or finished != []:
            message = "Nobody is here: the scheduler is idle, its plan is empty, and committing that returns []."
            got = f"idle is {shown(idle)}, {'an empty plan' if work == 0 else 'a plan'}, {shown(finished)}"
            raise Deviation(message, got, "idle is True, an empty plan, []")

    # ------------------------------------------------------------ a step

    def _plan(self, move: EngineMove) -> None:
        reply, _ = self._side.next("plan", "plan()", PLAN)
        self._take_plan(reply)

    def _commit(self, move: EngineMove) -> None:
        reply, _ = self._side.next(
            "commit", "commit(…)", self._committing() if self._side.slow else ""
        )
        self._take_commit(reply)

    def _drain(self, move: EngineMove) -> None:
        """Step until nobody is left. Deviation when that takes too many steps."""
        if self._side.slow:
            self._drain_slowly(move)
            return
        _, steps = self._side.next("plan", "drain()")
        self._side.steps.pop()
        self.drained = []
        for step in driver_replies.every(steps):
            plan, commit = items(step, 2)
            self._side.steps.append(self._step("plan()", PLAN))
            self.drained.append("plan")
            self._take_plan(reply_of(plan))
            self._side.steps.append(self._step("commit(…)", ""))
            self.drained.append("commit")
            self._take_commit(reply_of(commit))
        self._check_end(move.number)

    def _drain_slowly(self, move: EngineMove) -> None:
        """Step by step: one of them does not come back."""
        self._side.instead(1, [])
        for _ in range(move.number):
            if not self.spec.requests:
                break
            self._side.instead(0, [["plan", 0], ["commit", 0]])
            self._plan(move)
            self._commit(move)
        self._check_end(move.number)

    def _check_end(self, limit: int) -> None:
        if self.spec.requests and not self.spec.beset:
            requests = self.spec.requests.values()
            here = ", ".join(
                f"{request.id} has {len(request.output)} of {request.max_new}"
                for request in requests
            )
            message = f"After {limit} more steps there are still requests: {here}."
            raise Deviation(message, "no end", "everybody is served")

    def _take_plan(self, reply: Reply) -> None:
        if isinstance(reply, Returned) and reply.value is None and not self.spec.requests:
            self._side.steps.pop()
            return
        plan = driver_replies.plan_of(_value(self._allowed("plan", reply, {})))
        self._side.steps[-1].answer = plan
        self._planned = True
        self._count(plan)
        if plan.idle:
            raise Deviation(
                "The scheduler is idle although there are requests.", "idle is True", "False"
            )
        self.spec.planned(plan)
        self._run(plan)

    def _take_commit(self, reply: Reply) -> None:
        if isinstance(reply, Returned) and reply.value is None and not self._planned:
            self._side.steps.pop()
            return
        words = ", ".join(f"{id}: {tokens}" for id, tokens in self._said.items())
        self._retold(f"commit(plan, {{{words}}})", self._committing())
        self._side.steps[-1].answer = ""
        answer = driver_replies.commit_of(_value(self._allowed("commit", reply, {})))
        self._side.steps[-1].answer = f"{answer.finished}"
        present = {id: tokens for id, tokens in self._said.items() if id in self.spec.plan}
        if any(id in present and present[id] != tokens for id, tokens in answer.told.items()):
            raise protocol.ProtocolError("other tokens than were written down")
        done = self.spec.committed(present, answer.finished, answer.asked, answer.held)
        self._check_outputs(done, answer.outputs)
        self._gone |= {request.id for request in done}
        self._end_step(tuple(answer.finished))

    def _end_step(self, finished: tuple[int, ...]) -> None:
        waiting = tuple(request.id for request in self.spec.waiting)
        planned = self.moments[-1]
        self.moments[-1] = Moment(
            planned.chunks, planned.preempted, finished, tuple(self._left), waiting
        )
        self.counters.steps += 1
        self._planned, self._left, self._said = False, [], {}

    def _close(self, reply: Reply, _: Any) -> None:
        """If nobody is here: the scheduler is idle, every block is free or could be."""
        self._side.steps.pop()
        books = driver_replies.books_of(_value(self._allowed("idle", reply, {})))
        self._look_at_idle(books.idle)
        if self.spec.requests:
            return
        if books.idle is not True:
            raise Deviation(
                "Nobody waits, nobody runs, and the scheduler is not idle.",
                f"idle is {shown(books.idle)}",
                "True",
            )
        total = self.setting.num_blocks - 1
        if not self.spec.beset and (books.protected or books.free + books.evictable != total):
            got = f"{books.free} free, {books.evictable} evictable, {books.protected} protected, of {total} blocks"
            raise Deviation(
                "Everybody has left, and not every block was given back.", got, "no block in use"
            )

    # ------------------------------------------------------------ in between

    def _allowed(self, method: str, reply: Reply, refusals: Refusals) -> Reply:
        self.method = method
        if isinstance(reply, Raised):
            if not reply.is_one_of(refusals):
                raise Failed(method, reply, next(iter(refusals), DUE[method]))
        elif refusals:
            due, why = next(iter(refusals.items()))
            raise Deviation(f"`{method}` must raise {due}: {why}.", "no exception", f"raises {due}")
        return reply

    def _step(self, written: str, code: str) -> Step:
        """A line of the story, as the side writes a call."""
        return Step(f"{self._side.label}.{written}" if self._side.label else written, code=code)

    def _retold(self, written: str, code: str) -> None:
        """The last call of the story, now that it is known what it was."""
        step = self._step(written, code)
        self._side.steps[-1].call, self._side.steps[-1].code = step.call, step.code

    def _committing(self) -> str:
        """The Python of a commit; where the engine offers prompts to the cache, it does so here as
        well."""
        lines = [f"answer = scheduler.commit(plan, {self._said})"]
        for work in self.moments[-1].chunks if self.setting.offer and self.moments else ():
            prompt = (
                list(self._records[work.id].newcomer.prompt) if work.id in self._records else []
            )
            if work.start < len(prompt) <= work.end:
                lines.append(f"if {work.id} in kv:\n    kv.offer({work.id}, {prompt})")
        return "\n".join(lines)

    def _look_at_idle(self, idle: Any) -> None:
        """`NoProperty` when it was read and is a method."""
        if idle in METHODS:
            raise NoProperty("idle", idle)

    def _count(self, plan: Planned) -> None:
        counters = self.counters
        for work in plan.chunks:
            request, record = self.spec.requests.get(work.id), self._records.get(work.id)
            if request is None or record is None:
                continue
            counters.cached += 0 if request.running else work.start
            counters.computed += work.length
            counters.again += max(0, min(record.furthest, work.end) - work.start)
            record.furthest = max(record.furthest, work.end)
            if work.samples and not request.output:
                counters.longest = max(counters.longest, counters.steps + 1 - record.since)
        counters.preempted += len(plan.preempted)
        counters.together = max(counters.together, len(plan.held))
        used = self.setting.num_blocks - 1 - plan.available
        if used > counters.blocks:
            counters.blocks, counters.held = used, sum(plan.held.values())
        self.moments.append(Moment(plan.chunks, plan.preempted))

    def _run(self, plan: Planned) -> None:
        """What the model does: it writes and reads KV, and says the next tokens."""
        accesses = []
        for work in plan.chunks:
            request = self.spec.requests[work.id]
            text = self._text(request, work.end)
            rejected = 0
            if work.samples:
                said = self._say(request)
                text += self._toy.prefixes(said[:-1], text[-1])
                rejected = self.setting.lookahead + 1 - len(said)
            table = plan.tables.get(work.id, ())
            accesses.append(Access(work.id, work.start, text, table, rejected))
        self._memory.step(self.counters.steps, plan.copies, accesses)

    def _text(self, request: RequestSpec, length: int) -> list[Prefix]:
        """The numbers of its first so many tokens; those that are known already are not made again."""
        known = self._records[request.id].text
        if len(known) < length:
            known += self._toy.prefixes(
                request.tokens[len(known) : length], known[-1] if known else EMPTY
            )
        return known[:length]

    def _say(self, request: RequestSpec) -> list[int]:
        guesses = self._script.guesses[self._sampled % len(self._script.guesses)]
        self._sampled += 1
        start = len(request.output)
        said = self._said[request.id] = list(
            self._records[request.id].newcomer.will[start : start + 1 + guesses]
        )
        return said

    def _check_outputs(
        self, done: Sequence[RequestSpec], outputs: Sequence[tuple[int, Any]]
    ) -> None:
        """`request.output` of everybody who was told something, after the commit."""
        ended = {request.id: request for request in done}
        for id, output in outputs:
            request = ended.get(id) or self.spec.requests.get(id)
            if request is None:
                continue
            due = self._records[id].newcomer.due if id in ended else request.output
            if repr(output) != repr(due) and id not in ended and id not in self.spec.sampled:
                message = f"Request {id} came after the plan, under the id of one that was aborted, and `commit` gave "
                raise Deviation(
                    f"{message}it what was said to that one.",
                    f"output == {shown(output)}",
                    f"{due}",
                )
            if repr(output) != repr(due):
                message = f"The output of request {id} is not what the model said, up to its end: `commit` appends it."
                raise Deviation(message, f"output == {shown(output)}", f"{due}")


def sent(setting: EngineSetting, guesses: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """A setting as the driver takes it."""
    memory = {
        name: value
        for name, value in asdict(setting).items()
        if name not in (*SCHEDULER_KEYWORDS, "brief")
    }
    return memory | {"guesses": list(guesses), "keywords": _keywords(setting, brief=setting.brief)}


def _keywords(setting: EngineSetting, *, brief: bool) -> dict[str, Any]:
    """Of its scheduler; brief: without those that may be left out."""
    usual = EngineSetting()
    words = {name: getattr(setting, name) for name in SCHEDULER_KEYWORDS}
    left_out = [name for name in OPTIONAL if brief and words[name] == getattr(usual, name)]
    return {name: value for name, value in words.items() if name not in left_out}


def written(setting: EngineSetting) -> str:
    """A setting as a line of a story."""
    names = ("num_blocks", "block_size", "watermark", "cache")
    memory = ", ".join(
        f"{name}={getattr(setting, name)}" for name in names if getattr(setting, name)
    )
    return f"Scheduler(kv of {memory}, {_as_python(_keywords(setting, brief=True))})"


def code(setting: EngineSetting) -> str:
    """A setting as the Python that makes it: the scheduler, and stand-ins for the other parts."""
    memory = f"block_size={setting.block_size}, num_blocks={setting.num_blocks}, watermark={setting.watermark}"
    keywords = _as_python(_keywords(setting, brief=setting.brief))
    return "\n".join(
        (
            f"blocks = BlockManager({setting.num_blocks}, {setting.block_size}, watermark={setting.watermark})",
            f"cache = {f'PrefixCache({setting.block_size})' if setting.cache else None}",
            f"kv = KVManager(blocks, cache, {memory})",
            f"scheduler = Scheduler(kv, {keywords})",
        )
    )


def _as_python(keywords: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in keywords.items())


def _added(newcomer: Newcomer) -> str:
    words = f"id={newcomer.id}, prompt={list(newcomer.prompt)}, max_new={newcomer.max_new}"
    return f"answer = scheduler.add(Request({words}, priority={newcomer.priority}, eos={newcomer.eos}))"


def _value(reply: Reply) -> Any:
    assert isinstance(reply, Returned)
    return reply.value
