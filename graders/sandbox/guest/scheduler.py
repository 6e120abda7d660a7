"""Driver of the engine that runs no model: a scheduler on its KV memory, one step at a time.

The parts are those loaded in the worker, and the grader's stand-ins for the others (for a
scheduler: the naive one). The driver decides nothing. It says to the scheduler what the grader
wrote down for each request beforehand.

new    one dict: num_blocks, block_size, watermark; cache: whether there is one; offer: whether a prompt is offered
       as soon as it is computed; guesses: how many tokens beyond the first the i-th sampling chunk
       is told, over and over; ample: there is room for everybody, in memory that costs nothing to
       ask; keywords: of the Scheduler.
moves  [method, number, …], each answered with [outcome, the id it was about or None]:
       add     0, id, prompt, max_new, priority, eos, will      will: what the model says after the prompt; idle
       again   k, (as add)       the same, under the id of the k-th of those present; None when nobody is
       anew    0, (as add)       the same, under the id of whoever left last, if somebody has
       abort   k                 of the k-th of those present, or of a stranger: [asked, held, idle]
       plan    0                 [chunks, preempted, copies, asked, held, tables, books]: chunks [id, start, length,
                                 samples]; copies [src, dst]; held [id, tokens reserved] of all that
                                 hold blocks; tables [id, block table] of those in the plan; books
                                 see below. None when nobody is present
       commit  0                 [told, finished, asked, held, outputs]: told [id, tokens]; outputs [id, output] of
                                 those told something. None without a plan
       fork    k                 None: from now on somebody else shares all blocks of the k-th of those who hold some
       join    0                 None: whoever came by `fork` gives everything back
       rest    0                 [idle, how much is in the plan, what committing it returned]. None when somebody is
                                 present
       drain   limit             None, and instead of the id [[outcome of plan, outcome of commit]…] until nobody is
                                 present, or one raises
       books   0                 [idle, free blocks, evictable blocks, protected blocks]
       crowd   count, lengths, max_new     so many requests at once, their prompts as long as `lengths` in turn
       spin    steps, token                so many steps, everybody saying the same, nothing recorded
asked  [what, id, number, answer] for each call of the KV manager: LOOKUP (id -1), ADMIT, whose answer
       comes with the tokens that were given, EXTEND, whose answer is a list of source and
       destination in turn, or None, TRUNCATE, and DROP, whose answer is the list of tokens offered.
"""

import array
import types

from reference_engine import naive
from reference_engine.kv_manager import KVManager
from reference_engine.slots import Chunk, Copy, Plan, Request

from .callers_own import CallersOwn
from .handed_over import WHOSE, LentRequests
from .return_types import Undue, due

LOOKUP, ADMIT, EXTEND, TRUNCATE, DROP = range(5)
STRANGER = 99
# in which the tokens of a commit come, in turn
SEQUENCES = (list, tuple, lambda tokens: array.array("q", tokens))
GHOST = 1 << 20


def new(worker_parts, args, keywords):
    return ToyEngine(
        {**worker_parts.stand_ins, **worker_parts.parts}, worker_parts.attempt, **args[0]
    )


def trace(worker_parts, part, move):
    """[outcome, the id it was about]."""
    part.about = None
    outcome = worker_parts.attempt(getattr(part, move[0]), *move[1:])
    part.returned.scrawl()
    return [outcome, part.about]


def call(part, method, args):
    return getattr(part, method)(*args)


def watch(worker_parts, part, wanted):
    return None


class ScriptedOutput:
    """What a request is to say. said: how much of it has been said and kept."""

    def __init__(self, max_new, eos, will):
        self.max_new = max_new
        self.eos = eos
        self.will = list(will)
        self.said = 0

    def speak(self, count):
        """The next `count` tokens, and whether the request has finished with them."""
        tokens = self.will[self.said : self.said + count]
        for token in tokens:
            self.said += 1
            if token == self.eos or self.said == self.max_new:
                return tokens, True
        return tokens, False


class ToyEngine:
    """A scheduler, the manager it asks, and the requests that are present."""

    def __init__(
        self,
        parts,
        attempt,
        num_blocks,
        block_size,
        watermark,
        cache,
        offer,
        guesses,
        keywords,
        ample=False,
    ):
        self.blocks = parts["block_manager"].BlockManager(
            num_blocks, block_size, watermark=watermark
        )
        self.pages = parts["prefix_cache"].PrefixCache(block_size) if cache else None
        self.manager = KVManager(
            self.blocks,
            self.pages,
            block_size=block_size,
            num_blocks=num_blocks,
            watermark=watermark,
        )
        self.kv = Ample(block_size) if ample else Recorder(self.manager)
        self.attempt = attempt
        self.offers = offer
        self.guesses = guesses
        self.sampled = 0
        self.voices = {}
        self.gone = []
        self.requests = {}
        self.last = None
        self.asked = {}
        self.commits = 0
        self.about = None
        self.ghosts = 0
        self.returned = CallersOwn()
        self.lent = LentRequests()
        self.scheduler = parts.get("scheduler", naive).Scheduler(self.kv, **keywords)

    def add(self, number, id, prompt, max_new, priority, eos, will):
        self.about = id
        request = Request(id, list(prompt), max_new, priority, eos)
        self.lent.lend(request)
        self.lent.called(self.scheduler.add, request)
        self.requests[id] = request
        self.voices[id] = ScriptedOutput(max_new, eos, will)
        return self.scheduler.idle

    def again(self, number, id, prompt, *rest):
        if self.voices:
            return self.add(0, self.present(number), prompt, *rest)
        return None

    def anew(self, number, id, *rest):
        return self.add(0, self.gone.pop() if self.gone else id, *rest)

    def abort(self, number):
        self.about = id = self.present(number)
        self.lent.called(self.scheduler.abort, id + 0)
        self.leave(id)
        return [self.kv.told(), self.kv.holds(), self.scheduler.idle]

    def plan(self, number=0):
        if not self.voices:
            return None
        self.lent.keep(self.voices)
        self.last = plan = self.lent.called(self.scheduler.plan)
        due(plan, Plan, "a Plan(chunks, preempted, copies)")
        for name in ("chunks", "preempted", "copies"):
            due(getattr(plan, name), tuple, "a tuple", f"a Plan whose {name} are ")
        chunks = [
            due(chunk, Chunk, "a Chunk", "a Plan that has among its chunks ")
            for chunk in plan.chunks
        ]
        copies = [
            due(copy, Copy, "a Copy", "a Plan that has among its copies ") for copy in plan.copies
        ]
        self.asked = {chunk.id: self.voices.get(chunk.id) for chunk in chunks}
        return [
            [[chunk.id, chunk.start, chunk.length, chunk.samples] for chunk in chunks],
            plan.preempted,
            [[copy.src, copy.dst] for copy in copies],
            self.kv.told(),
            self.kv.holds(),
            [
                [chunk.id, list(self.manager.table(chunk.id))]
                for chunk in chunks
                if chunk.id in self.manager
            ],
            self.books(),
        ]

    def commit(self, number=0):
        plan, self.last = self.last, None
        if plan is None:
            return None
        told = {chunk.id: self.say(chunk.id) for chunk in plan.chunks if chunk.samples}
        self.commits += 1
        form = SEQUENCES[self.commits % len(SEQUENCES)]
        # an equal id need not be the same object
        tokens = {id + 0: form(told[id]) for id in reversed(told)}
        given = types.MappingProxyType(tokens) if self.commits % 2 else tokens
        finished = self.returned.take(self.lent.called(self.scheduler.commit, plan, given))
        finished = list(finished) if type(finished) is list else finished
        if {id: list(said) for id, said in tokens.items()} != told:
            raise Undue("changed the tokens that it was given", WHOSE)
        for said in tokens.values():
            if type(said) is list:
                said.clear()  # the caller's list is the caller's, and so is what it is in
        tokens.clear()
        for chunk in plan.chunks if self.offers else ():
            self.offer(chunk)
        outputs = [[id, list(self.requests[id].output)] for id in told]
        return [list(map(list, told.items())), finished, self.kv.told(), self.kv.holds(), outputs]

    def fork(self, number):
        ids = sorted(self.kv.held)
        if ids:
            self.about = ids[number % len(ids)]
            self.ghosts += 1
            self.blocks.fork(self.about, GHOST + self.ghosts)

    def join(self, number=0):
        for ghost in range(self.ghosts):
            self.blocks.free(GHOST + ghost + 1)
        self.ghosts = 0

    def rest(self, number=0):
        if self.voices:
            return None
        idle, plan = (
            self.scheduler.idle,
            due(self.scheduler.plan(), Plan, "a Plan(chunks, preempted, copies)"),
        )
        return [
            idle,
            len(plan.chunks) + len(plan.preempted) + len(plan.copies),
            self.scheduler.commit(plan, {}),
        ]

    def drain(self, limit):
        steps: list = []
        while self.voices and len(steps) < limit:
            steps.append([self.attempt(self.plan), self.attempt(self.commit)])
            self.returned.scrawl()
            if any("x" in outcome for outcome in steps[-1]):
                break
        self.about = steps

    def books(self, number=0):
        pages = [self.pages.evictable, self.pages.protected] if self.pages is not None else [0, 0]
        return [self.scheduler.idle, self.blocks.num_free, *pages]

    def crowd(self, count, lengths, max_new):
        for id in range(count):
            self.scheduler.add(Request(id, [id % 7] * lengths[id % len(lengths)], max_new))

    def spin(self, steps, token):
        """The requests of the crowd that were told something, in all steps together."""
        told = 0
        for _ in range(steps):
            plan = self.scheduler.plan()
            said = {chunk.id: [token] for chunk in plan.chunks if chunk.samples}
            self.scheduler.commit(plan, said)
            self.kv.told()
            told += len(said)
        return told

    def present(self, number):
        """The number-th of the requests that are present; when there is none whoever left last, or
        a stranger."""
        ids = sorted(self.voices)
        if not ids and self.gone and number % 2 == 0:
            return self.gone[-1]
        return ids[number % len(ids)] if ids else STRANGER

    def say(self, id):
        """What the model says to a sampling chunk; to one of somebody who has been aborted,
        anything."""
        count = 1 + self.guesses[self.sampled % len(self.guesses)]
        self.sampled += 1
        voice = self.voices.get(id)
        if voice is None or voice is not self.asked[id]:
            return [0] * count
        tokens, finished = voice.speak(count)
        if finished:
            self.leave(id)
        return tokens

    def leave(self, id):
        """Nobody of that id is present any more."""
        self.voices.pop(id, None)
        self.gone.append(id)

    def offer(self, chunk):
        """What the engine does when a prompt has been read to its end."""
        prompt = self.requests[chunk.id].prompt
        if chunk.start < len(prompt) <= chunk.start + chunk.length and chunk.id in self.manager:
            self.manager.offer(chunk.id, prompt)


class Ample:
    """A KV manager that has room for everything and does nothing: what is left is what the
    scheduler costs."""

    def __init__(self, block_size):
        self.block_size = block_size
        self.capacity = 1 << 40
        self.held = {}

    def told(self):
        return []

    def holds(self):
        return []

    def lookup(self, tokens):
        return 0

    def admit(self, id, tokens, num_tokens):
        return 0

    def extend(self, id, num_tokens):
        return []

    def truncate(self, id, num_tokens):
        pass

    def drop(self, id, tokens):
        pass


class Recorder:
    """The KV manager as the scheduler sees it, every call written down."""

    def __init__(self, manager):
        self.block_size = manager.block_size
        self.capacity = manager.capacity
        self._manager = manager
        self._asked = []
        self.held = {}

    def told(self):
        """What was asked since the last time."""
        asked, self._asked = self._asked, []
        return asked

    def holds(self):
        return [[id, tokens] for id, tokens in self.held.items()]

    def lookup(self, tokens):
        found = self._manager.lookup(tokens)
        self._asked.append([LOOKUP, -1, len(tokens), found])
        return found

    def admit(self, id, tokens, num_tokens):
        cached = self._manager.admit(id, tokens, num_tokens)
        self._asked.append([ADMIT, id, num_tokens, [cached, list(tokens)]])
        if cached is not None:
            self.held[id] = num_tokens
        return cached

    def extend(self, id, num_tokens):
        copies = self._manager.extend(id, num_tokens)
        moved = (
            None if copies is None else [block for copy in copies for block in (copy.src, copy.dst)]
        )
        self._asked.append([EXTEND, id, num_tokens, moved])
        if copies is not None:
            self.held[id] = num_tokens
        return copies

    def truncate(self, id, num_tokens):
        self._manager.truncate(id, num_tokens)
        self._asked.append([TRUNCATE, id, num_tokens, True])
        self.held[id] = num_tokens

    def drop(self, id, tokens):
        """More tokens than are reserved would be refused; here the grader will say what is wrong
        with them."""
        self._manager.drop(id, tokens[: self.held.get(id)])
        self._asked.append([DROP, id, len(tokens), list(tokens)])
        del self.held[id]
