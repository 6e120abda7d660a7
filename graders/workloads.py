"""What engines are timed on: families of requests, drawn afresh from a seed each time. Imports no
torch.

    trace = workload("ragged", seed=7)
    for request in trace.requests: request.prompt, request.max_new, request.arrival

Prompts are waiter dialogues for the waiter and its stretched forms, random tokens for every other
model. A trace says everything that must be equal for all engines: the tokens in, the number of
tokens out (EOS is ignored), the arrivals, the KV memory, the seats, and whether a prefix cache
takes part.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Span = tuple[int, int]
BLOCK_SIZE = 16
OPENING = 420  # tokens of a menu, where tokens are random
FEWEST_SEATS = 4
GUESSES = 16  # slots at most that a tree takes beyond a request's own tokens
SPECIALS = 3  # ids below are marks of the tokenizer
MOST = 100_000  # requests of a trace
STRETCHED = ("5m", "20m", "50m", "0.1b", "1b", "8b", "llama-0.1b", "llama-1b", "llama-8b")
"""Shapes that the waiter can be stretched to. `reference_engine.embed_in_larger` knows them too, and imports torch."""


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """One request: `max_new` tokens are due, whatever they are. arrival: seconds after the first is
    sent."""

    prompt: tuple[int, ...]
    max_new: int
    arrival: float = 0.0


@dataclass(frozen=True)
class Trace:
    """Requests in order of arrival, and the room in which they are served.

    num_blocks: of `block_size` tokens each, the scratch block included. max_seqs: seats. shared:
    prompts open alike. cached: a prefix cache takes part (it must not hurt where nothing is
    shared); without it, it is off in every engine. batch: how many decode together at most, where
    that is what the workload is about; 0 elsewhere.
    """

    name: str
    seed: int
    model: str
    requests: tuple[TraceRequest, ...]
    num_blocks: int
    max_seqs: int
    block_size: int = BLOCK_SIZE
    shared: bool = False
    cached: bool = False
    batch: int = 0

    @property
    def kv_tokens(self) -> int:
        """Tokens whose KV fits at once."""
        return (self.num_blocks - 1) * self.block_size

    @property
    def tokens_in(self) -> int:
        return sum(len(request.prompt) for request in self.requests)

    @property
    def tokens_out(self) -> int:
        """What throughput counts."""
        return sum(request.max_new for request in self.requests)

    @property
    def longest(self) -> int:
        """Tokens of the longest request, prompt and answer."""
        return max(len(request.prompt) + request.max_new for request in self.requests)

    @property
    def watermark(self) -> int:
        """Blocks that our engine leaves free when it admits: those who run grow into them, and
        fewer are preempted. A sixteenth of all, unless the longest request would not fit."""
        longest = -(-(self.longest + GUESSES) // self.block_size)
        return max(0, min(self.num_blocks // 16, self.num_blocks - 1 - longest))

    @cached_property
    def hash(self) -> str:
        """Sixteen hexadecimal digits: two traces with one hash are the same work."""
        data = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(data.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class TraceFamily:
    """What the traces of one workload have in common. Spans are of tokens, both ends included.

    about: one sentence for people. requests: how many at full scale. gap: mean seconds between
    arrivals, 0: none. long: the answers of one request in four, where some are much longer than
    others. kv_tokens, seats: KV memory and requests served at once, at full scale. talk: whose
    words the prompts are.
    """

    about: str
    requests: int
    prompts: Span
    answers: Span
    kv_tokens: int
    seats: int
    talk: str
    gap: float = 0.0
    long: Span | None = None
    shared: bool = False
    cached: bool = False
    batch: int = 0

    @property
    def kinds(self) -> set[str]:
        """What a part is timed in: "every" workload, one that is "cached", one that is "guessed"."""
        return {"every", *["cached"] * self.cached, *["guessed"] * (self.batch > 0)}


_PREDICTABLE = TraceFamily("", 0, (420, 640), (128, 128), 0, 0, "menus")


def _predictable(batch: int, rounds: int) -> TraceFamily:
    about = f"Long answers in set phrases, {batch} at a time: what guessing ahead is worth."
    return replace(
        _PREDICTABLE,
        about=about,
        requests=batch * rounds,
        kv_tokens=1024 * batch,
        seats=batch,
        batch=batch,
    )


FAMILIES = {
    "ragged": TraceFamily(
        "Mixed lengths in a KV memory that holds a few of them.",
        64,
        (32, 256),
        (32, 128),
        4096,
        64,
        "pieces",
    ),
    "arrivals": TraceFamily(
        "Requests come one by one (Poisson), faster than they leave; some of them stay long.",
        *(64, (16, 64), (4, 16), 8192, 16, "pieces"),
        gap=0.002,
        long=(80, 96),
    ),
    "shared_menu": TraceFamily(
        "Everybody's prompt opens with the same menu.",
        *(64, (424, 520), (8, 16), 16384, 32, "one menu"),
        shared=True,
        cached=True,
    ),
    "nothing_shared": TraceFamily(
        "Long prompts without a common opening: a prefix cache must not cost.",
        *(64, (424, 520), (8, 16), 16384, 32, "pieces"),
        cached=True,
    ),
    "predictable_talk_1": _predictable(1, 4),
    "predictable_talk_4": _predictable(4, 2),
    "predictable_talk_16": _predictable(16, 1),
    "everything": TraceFamily(
        "Mixed lengths, arrivals, shared menus, set phrases, and little KV memory.",
        *(64, (424, 700), (16, 96), 8192, 32, "few menus"),
        gap=0.003,
        shared=True,
        cached=True,
    ),
}
NAMES = tuple(FAMILIES)
PART_SIZES = (1, 4, 16, 64, 256)
"""Rows of a batch, or requests, whose calls are timed."""


def workload(name: str, seed: int, *, model: str = "waiter", scale: float = 1.0) -> Trace:
    """The trace that the seed draws; the same on every machine.

    model: a name of `model_loader.load_model`. scale: a share of the full number of requests, of
    the KV memory and of the seats. Raises ValueError, as `drawable` does.
    """
    drawable(name, model=model, scale=scale)
    family, dice = FAMILIES[name], random.Random(f"workload/{name}/{model}/{seed}")
    count = max(family.batch, 1, round(family.requests * scale))
    draw = _dialogues if speaks_waiter(model) else _random_tokens(model)
    prompts = draw(family, count, dice)
    answers = _answers(family, count, dice)
    arrivals = _arrivals(count, family.gap, dice)
    requests = tuple(map(TraceRequest, prompts, answers, arrivals))
    longest = max(len(prompt) + answer for prompt, answer in zip(prompts, answers, strict=True))
    tokens = max(
        round(family.kv_tokens * min(scale, 1.0)),
        4 * longest if not family.batch else family.kv_tokens,
    )
    seats = family.batch or min(count, max(FEWEST_SEATS, round(family.seats * min(scale, 1.0))))
    sizes = {"num_blocks": 1 + -(-tokens // BLOCK_SIZE), "max_seqs": seats}
    return Trace(
        name,
        seed,
        model,
        requests,
        **sizes,
        shared=family.shared,
        cached=family.cached,
        batch=family.batch,
    )


def drawable(name: str, *, model: str = "waiter", scale: float = 1.0) -> None:
    """Raises ValueError, in one sentence, for what no trace can be drawn of.

    That is an unknown workload or model, a model whose context is too short, and a scale that is
    not a finite number above 0 or makes more than `MOST` requests. The weights of a model are not
    looked at.
    """
    if name not in FAMILIES:
        raise ValueError(f"no workload called {name!r}: choose one of {', '.join(NAMES)}")
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(
            f"a scale of {scale:g} is no share of the requests: it must be a finite number above 0"
        )
    family = FAMILIES[name]
    if family.requests * scale > MOST:
        raise ValueError(
            f"a scale of {scale:g} makes more than {MOST:,} requests: {MOST // family.requests:,} is the most"
        )
    if not speaks_waiter(model):
        _, positions = _vocabulary(model)
        needed = family.prompts[1] + (family.long or family.answers)[1]
        if positions < needed:
            raise ValueError(f"{model} has a context of {positions} tokens; {name} needs {needed}")


def _answers(family: TraceFamily, count: int, dice: random.Random) -> list[int]:
    """How many tokens each asks for; one in every four who follow each other asks for a long
    answer, if any does."""
    answers = [dice.randint(*family.answers) for _ in range(count)]
    for first in range(0, count - 3, 4) if family.long else ():
        answers[first + dice.randrange(4)] = dice.randint(*(family.long or family.answers))
    return answers


def _arrivals(count: int, gap: float, dice: random.Random) -> list[float]:
    """The first is there at once; microseconds are exact enough, and the same in every text."""
    times = [0.0]
    while len(times) < count:
        times.append(round(times[-1] + (dice.expovariate(1 / gap) if gap else 0.0), 6))
    return times


# ---------------------------------------------------------------- prompts

Draw = Callable[[TraceFamily, int, random.Random], list[tuple[int, ...]]]


def speaks_waiter(model: str) -> bool:
    """Raises ValueError for a shape that the waiter cannot be stretched to."""
    base, at, shape = model.partition("@")
    if base == "waiter" and at and shape not in STRETCHED:
        raise ValueError(
            f"the waiter has no shape called {shape!r}: choose one of {', '.join(STRETCHED)}"
        )
    return base == "waiter"


def _dialogues(family: TraceFamily, count: int, dice: random.Random) -> list[tuple[int, ...]]:
    if family.talk == "pieces":
        return _pieces(family.prompts, count, dice)
    from reference_engine.waiter.menu import restaurants

    houses = dice.sample(
        restaurants(), {"one menu": 1, "few menus": 2, "menus": len(restaurants())}[family.talk]
    )
    return [_told(family.prompts, houses[number % len(houses)], dice) for number in range(count)]


def _told(lengths: Span, house: object, dice: random.Random) -> tuple[int, ...]:
    """A menu, a party, and so many questions and answers that the prompt has about a length drawn
    from the span."""
    from reference_engine.waiter.corpus import dialogue
    from reference_engine.waiter.menu import Restaurant

    assert isinstance(house, Restaurant)
    wanted, told = (
        dice.randint(*lengths),
        dialogue(dice.getrandbits(48), "heldout", turns=8, restaurant=house),
    )
    prompt = _encode(told.prompt(0))
    for turn in range(1, len(told.turns)):
        longer = _encode(told.prompt(turn))
        if len(longer) > wanted:
            break
        prompt = longer
    return prompt


def _pieces(lengths: Span, count: int, dice: random.Random) -> list[tuple[int, ...]]:
    """Pieces of what is said in restaurants; no two of them begin alike, not even with the same
    block."""
    from reference_engine.waiter.corpus import dialogue

    said = tuple[int, ...]()
    pieces, openings = list[tuple[int, ...]](), set[tuple[int, ...]]()
    while len(pieces) < count:
        length = dice.randint(*lengths)
        if len(pieces) % 16 == 0 or len(said) < 4 * length:
            talks = [dialogue(dice.getrandbits(48), "heldout", turns=30) for _ in "123"]
            said = _encode("\n".join(each.text for each in talks))
        start = dice.randrange(1, len(said) - length)
        piece = said[start : start + length]
        if piece[:BLOCK_SIZE] not in openings:
            openings.add(piece[:BLOCK_SIZE])
            pieces.append(piece)
    return pieces


def _random_tokens(model: str) -> Draw:
    vocab, _ = _vocabulary(model)

    def draw(family: TraceFamily, count: int, dice: random.Random) -> list[tuple[int, ...]]:
        menus = {"one menu": 1, "few menus": 2}.get(family.talk, 0)
        openings = [_tokens(dice, vocab, OPENING) for _ in range(menus)]
        prompts = []
        for number in range(count):
            opening = openings[number % menus] if menus else ()
            length = dice.randint(*family.prompts)
            prompts.append(opening + _tokens(dice, vocab, max(1, length - len(opening))))
        return prompts

    return draw


def _tokens(dice: random.Random, vocab: int, count: int) -> tuple[int, ...]:
    return tuple(dice.randrange(SPECIALS, vocab) for _ in range(count))


def _vocabulary(model: str) -> Span:
    """Words and context of a model that is not the waiter, read without its weights. Raises
    ValueError."""
    from reference_engine.llama.config import SHAPES

    if model.startswith("random:"):
        shape, at, seed = model.removeprefix("random:").partition("@")
        if shape not in SHAPES:
            raise ValueError(f"no shape is called {shape!r}: choose one of {', '.join(SHAPES)}")
        if at and not seed.removeprefix("-").isdecimal():
            raise ValueError(
                f"{model!r} has no seed after the @: write a number, as in random:tiny@7"
            )
        return SHAPES[shape].vocab, SHAPES[shape].positions
    if not _is_folder(model):
        raise ValueError(
            f"no model is called {model!r}: use waiter, waiter@SHAPE, random:SHAPE or a checkpoint folder"
        )
    return _sizes(Path(model) / "config.json")


def _is_folder(model: str) -> bool:
    try:
        return Path(model).is_dir()
    except (OSError, ValueError):  # a name that no file can have
        return False


def model_files(model: str) -> tuple[str, ...]:
    """What an engine reads of a checkpoint folder; nothing of models that the package brings along
    or draws."""
    if not _is_folder(model):
        return ()
    return tuple(
        sorted(
            str(path) for path in Path(model).iterdir() if path.suffix in (".json", ".safetensors")
        )
    )


def _sizes(path: Path) -> Span:
    """Words and context as the file says. Raises ValueError."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{path} is not JSON") from None
    sizes = list[int]()
    for name in ("vocab_size", "max_position_embeddings"):
        size = config.get(name) if isinstance(config, dict) else None
        if not isinstance(size, int) or size <= SPECIALS:
            raise ValueError(f"{path} lacks a whole number {name} above {SPECIALS}")
        sizes.append(size)
    return sizes[0], sizes[1]


@cache
def _tokenizer() -> Tokenizer:
    from reference_engine.waiter import CHECKPOINT
    from reference_engine.waiter.tokenizer import load_tokenizer

    return load_tokenizer(CHECKPOINT)


def _encode(text: str) -> tuple[int, ...]:
    ids: Sequence[int] = _tokenizer().encode(text).ids
    return tuple(ids)
