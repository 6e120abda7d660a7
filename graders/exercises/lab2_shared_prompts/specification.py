"""What the formulas of lab 2 are right about: a trie of blocks, searched in whole for every
question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from graders.checking.formulas import Formula, Mistake, Question

Tokens = tuple[int, ...]
Prompts = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Rules:
    """How a cache works; as given here it is right.

    whole: only whole blocks are shared. last: the last token is computed even if everything is
    cached. chained: a block counts for what comes before it. again: a block that was there before
    is touched again. room: "blocks" or "tokens" that the capacity counts, "" for a cache that
    forgets nothing. ends: only what nothing hangs below may go. youngest: the most recently touched
    goes first. late: room is made before a prompt is stored, not after.
    """

    whole: bool = True
    last: bool = True
    chained: bool = True
    again: bool = True
    room: str = "blocks"
    ends: bool = True
    youngest: bool = False
    late: bool = False


@dataclass(slots=True)
class Shelf:
    """What is stored: whole prefixes, each with the tick of its last touch."""

    size: int
    capacity: int | None
    rules: Rules
    tick: int = 0
    touched: dict[Tokens, int] = field(default_factory=dict)

    def found(self, prompt: Tokens) -> int:
        """Tokens of a prompt that need not be computed."""
        sought = prompt[:-1] if self.rules.last else prompt
        whole = 0
        for end in range(self.size, len(sought) + 1, self.size):
            if not self._holds(sought[:end]):
                break
            whole = end
        return (
            whole
            if self.rules.whole
            else max([whole, *(self._common(sought, known) for known in self.touched)])
        )

    def store(self, prompt: Tokens) -> None:
        """Keep the full blocks, then forget what is too much."""
        self.tick += 1
        if self.rules.late:
            self._forget()
        for end in range(self.size, len(prompt) + 1, self.size):
            if self.rules.again or prompt[:end] not in self.touched:
                self.touched[prompt[:end]] = self.tick
        if not self.rules.late:
            self._forget()

    def _holds(self, prefix: Tokens) -> bool:
        if self.rules.chained:
            return prefix in self.touched
        return any(known[-self.size :] == prefix[-self.size :] for known in self.touched)

    def _common(self, sought: Tokens, known: Tokens) -> int:
        count = 0
        while count < min(len(sought), len(known)) and sought[count] == known[count]:
            count += 1
        return count

    def _forget(self) -> None:
        while self.capacity is not None and self._taken() > self.capacity:
            going = [
                prefix for prefix in self.touched if not self.rules.ends or not self._below(prefix)
            ]
            order = sorted(
                going,
                key=lambda prefix: (
                    self.touched[prefix],
                    len(prefix) if not self.rules.ends else 0,
                ),
            )
            del self.touched[order[-1 if self.rules.youngest else 0]]

    def _taken(self) -> int:
        if not self.rules.room:
            return 0
        return len(self.touched) * (self.size if self.rules.room == "tokens" else 1)

    def _below(self, prefix: Tokens) -> bool:
        return any(
            len(other) > len(prefix) and other[: len(prefix)] == prefix for other in self.touched
        )


def computed_by(rules: Rules) -> Callable[..., int]:
    """computed_tokens with a cache of these rules."""

    def formula(prompts: Prompts, block_size: int, capacity: int | None = None) -> int:
        shelf, computed = Shelf(block_size, capacity, rules), 0
        for prompt in map(tuple, prompts):
            computed += len(prompt) - shelf.found(prompt)
            shelf.store(prompt)
        return computed

    return formula


def _one_again(prompts: Prompts, block_size: int, capacity: int | None = None) -> int:
    """What is found of a whole prompt, of which one token at least is computed."""
    shelf, computed = Shelf(block_size, capacity, replace(Rules(), last=False)), 0
    for prompt in map(tuple, prompts):
        computed += max(1, len(prompt) - shelf.found(prompt))
        shelf.store(prompt)
    return computed


def hit_rate(prompts: Prompts, block_size: int, capacity: int | None = None) -> float:
    """Cached tokens over prompt tokens."""
    tokens = sum(len(prompt) for prompt in prompts)
    computed = computed_by(Rules())(prompts, block_size, capacity)
    return 1.0 - computed / tokens if tokens else 0.0


def pages_printed(shared: int, own: int, contracts: int, cached: bool) -> int:
    """Counted page by page, the common ones under one name."""
    pages: list[object] = []
    for contract in range(contracts):
        pages += [(contract, "own", page) for page in range(own)]
        pages += [
            ("common", page) if cached else (contract, "common", page) for page in range(shared)
        ]
    return len(set(pages))


def _missing(prompts: Prompts, block_size: int, capacity: int | None = None) -> float:
    return 1.0 - hit_rate(prompts, block_size, capacity)


def _by_prompt(prompts: Prompts, block_size: int, capacity: int | None = None) -> float:
    """The mean of each prompt's own rate."""
    formula, before, rates = computed_by(Rules()), 0, []
    for count in range(1, len(prompts) + 1):
        after = formula(prompts[:count], block_size, capacity)
        rates.append(1.0 - (after - before) / len(prompts[count - 1]))
        before = after
    return sum(rates) / len(rates) if rates else 0.0


RIGHT = Rules()
A, B = [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 9, 9, 5, 6, 7]
PROBES = (
    Question.of([A, A, B, [*A, 1]], block_size=2),
    Question.of([A, B, A, [3, 4, 3, 4, 1], B, A], block_size=2, capacity=4),
    Question.of([A[:5], B[:6], [*A[:4], 7, 7], B], block_size=4, capacity=1),
    Question.of([A, [*A[:3], 9, 9]], block_size=2),
)
COMPUTED = Formula(
    "computed_tokens",
    computed_by(RIGHT),
    "tokens",
    (
        Mistake(
            "a prompt that is cached in whole computes nothing",
            computed_by(replace(RIGHT, last=False)),
        ),
        Mistake("all its tokens are looked up, and one is computed again", _one_again),
        Mistake("a part of a block is shared, too", computed_by(replace(RIGHT, whole=False))),
        Mistake(
            "a block is found whatever stands before it", computed_by(replace(RIGHT, chained=False))
        ),
        Mistake("nothing is ever forgotten", computed_by(replace(RIGHT, room=""))),
        Mistake(
            "the block that was stored first goes first", computed_by(replace(RIGHT, again=False))
        ),
        Mistake("blocks go that have others below them", computed_by(replace(RIGHT, ends=False))),
        Mistake("the youngest block goes", computed_by(replace(RIGHT, youngest=True))),
        Mistake(
            "the capacity counts tokens, not blocks", computed_by(replace(RIGHT, room="tokens"))
        ),
        Mistake(
            "room is made before a prompt is stored, and not after",
            computed_by(replace(RIGHT, late=True)),
        ),
        Mistake(
            "the cached tokens are counted",
            lambda *a, **k: sum(map(len, a[0])) - computed_by(RIGHT)(*a, **k),
        ),
    ),
    probes=PROBES,
)
HIT_RATE = Formula(
    "hit_rate",
    hit_rate,
    mistakes=(
        Mistake("the share that is computed is given", _missing),
        Mistake(
            "the capacity is not passed on",
            lambda prompts, block_size, capacity=None: hit_rate(prompts, block_size),
        ),
        Mistake("each prompt's own rate counts as much, however long it is", _by_prompt),
        Mistake("it is given in per cent", lambda *a, **k: 100 * hit_rate(*a, **k)),
    ),
    probes=PROBES[:2],
)
PAGES = Formula(
    "pages_printed",
    pages_printed,
    "pages",
    (
        Mistake(
            "the common pages are printed for every contract", lambda s, o, c, cached: c * (s + o)
        ),
        Mistake(
            "the own pages are shared, too",
            lambda s, o, c, cached: s + o if cached else c * (s + o),
        ),
        Mistake(
            "`cached` has the opposite meaning",
            lambda s, o, c, cached: pages_printed(s, o, c, not cached),
        ),
    ),
    probes=(Question.of(7, 3, 5, cached=True), Question.of(7, 3, 5, cached=False)),
)
