"""What the formulas of lab 3 are right about: pages handed out one by one, seats watched step by
step."""

from __future__ import annotations

from collections.abc import Sequence

from graders.checking.formulas import Formula, Mistake, Question

Numbers = Sequence[int]


def pages(length: int, block_size: int) -> int:
    """Sheets that a conversation fills, one after the other."""
    count = 0
    while count * block_size < length:
        count += 1
    return count


def held_paged(
    lengths: Numbers,
    block_size: int,
    num_blocks: int,
    *,
    scratch: int = 1,
    overtaking: bool = False,
) -> int:
    """Everybody takes pages from the pile as long as it lasts."""
    pile, held = list(range(scratch, num_blocks)), 0
    for length in lengths:
        wanted = pages(length, block_size)
        if wanted <= len(pile):
            del pile[:wanted]
            held += 1
        elif not overtaking:
            break
    return held


def held_contiguous(lengths: Numbers, reserve: int, num_slots: int) -> int:
    """Everybody takes a notebook as long as there is one."""
    held = 0
    while held < len(lengths) and (held + 1) * reserve <= num_slots:
        held += 1
    return held


def held_by_length(lengths: Numbers, reserve: int, num_slots: int) -> int:
    """As if what is used counted, and not what is reserved."""
    held = 0
    while held < len(lengths) and sum(lengths[: held + 1]) <= num_slots:
        held += 1
    return held


def empty_slots(lengths: Numbers, block_size: int) -> tuple[int, int]:
    """Slots that hold nothing, and all of them."""
    reserved = sum(pages(length, block_size) * block_size for length in lengths)
    return reserved - sum(lengths), reserved


def wasted_share(lengths: Numbers, block_size: int) -> float:
    """The empty ones of all."""
    empty, reserved = empty_slots(lengths, block_size)
    return empty / reserved if reserved else 0.0


def steps_static(answers: Numbers, seats: int) -> int:
    """A table is laid, all eat, and it is cleared when the last is done."""
    waiting, table, steps = list(answers), list[int](), 0
    while waiting or table:
        if not table:
            table, waiting = waiting[:seats], waiting[seats:]
        steps += 1
        table = [left - 1 for left in table] if any(left > 1 for left in table) else []
    return steps


def steps_continuous(answers: Numbers, seats: int) -> int:
    """Whoever is done leaves, and the next sits down."""
    waiting, table, steps = list(answers), list[int](), 0
    while waiting or table:
        while waiting and len(table) < seats:
            table.append(waiting.pop(0))
        steps += 1
        table = [left - 1 for left in table if left > 1]
    return steps


def _longest_first(answers: Numbers, seats: int) -> int:
    return steps_continuous(sorted(answers, reverse=True), seats)


def _no_waiting(answers: Numbers, seats: int) -> int:
    """The work, spread evenly."""
    return max([-(-sum(answers) // seats), *answers])


def _mean_share(lengths: Numbers, block_size: int) -> float:
    shares = [wasted_share([length], block_size) for length in lengths]
    return sum(shares) / len(shares) if shares else 0.0


def _over_used(lengths: Numbers, block_size: int) -> float:
    return empty_slots(lengths, block_size)[0] / max(1, sum(lengths))


def _whole_page(lengths: Numbers, block_size: int) -> float:
    reserved = sum((length // block_size + 1) * block_size for length in lengths)
    return (reserved - sum(lengths)) / reserved if reserved else 0.0


LENGTHS, ANSWERS = [9, 4, 17, 1, 8, 30], [3, 9, 1, 4, 1, 5, 2, 6]
PAGED = Formula(
    "held_paged",
    held_paged,
    "conversations",
    (
        Mistake("block 0 is handed out", lambda *a, **k: held_paged(*a, **k, scratch=0)),
        Mistake(
            "a short one overtakes one that does not fit",
            lambda *a, **k: held_paged(*a, **k, overtaking=True),
        ),
        Mistake(
            "tokens are counted, and not whole blocks",
            lambda lengths, block_size, num_blocks: held_by_length(
                lengths, 0, (num_blocks - 1) * block_size
            ),
        ),
        Mistake(
            "a length that fills its blocks takes one more",
            lambda lengths, block_size, num_blocks: held_paged(
                [length + 1 for length in lengths], block_size, num_blocks
            ),
        ),
    ),
    probes=(
        Question.of(LENGTHS, block_size=4, num_blocks=10),
        Question.of(LENGTHS, block_size=4, num_blocks=9),
        Question.of([7, 7, 7, 7, 1], block_size=4, num_blocks=8),
    ),
)
CONTIGUOUS = Formula(
    "held_contiguous",
    held_contiguous,
    "conversations",
    (
        Mistake("what is used counts, and not what is reserved", held_by_length),
        Mistake(
            "more are held than there are", lambda lengths, reserve, num_slots: num_slots // reserve
        ),
        Mistake(
            "one notebook is scratch",
            lambda n, reserve, num_slots: held_contiguous(n, reserve, num_slots - reserve),
        ),
    ),
    probes=(
        Question.of(LENGTHS, reserve=30, num_slots=100),
        Question.of(LENGTHS[:2], reserve=30, num_slots=100),
    ),
)
WASTED = Formula(
    "wasted_share",
    wasted_share,
    mistakes=(
        Mistake("it is divided by what is used, and not by what is reserved", _over_used),
        Mistake("the used share is given", lambda *a, **k: 1.0 - wasted_share(*a, **k)),
        Mistake("each conversation's own share counts as much, however long it is", _mean_share),
        Mistake("a length that fills its blocks takes one more", _whole_page),
        Mistake("it is given in per cent", lambda *a, **k: 100 * wasted_share(*a, **k)),
    ),
    probes=(Question.of(LENGTHS, block_size=4), Question.of([8, 3], block_size=8)),
)
STATIC = Formula(
    "steps_static",
    steps_static,
    "steps",
    (
        Mistake("a seat that falls free is taken at once", steps_continuous),
        Mistake(
            "reading the prompts takes a step beside those of the answers",
            lambda a, seats: steps_static([each + 1 for each in a], seats),
        ),
        Mistake(
            "the shortest of a batch decides",
            lambda a, seats: sum(
                min(a[start : start + seats]) for start in range(0, len(a), seats)
            ),
        ),
        Mistake(
            "batches are made of answers of like length",
            lambda a, seats: steps_static(sorted(a), seats),
        ),
        Mistake(
            "only full batches are served",
            lambda a, seats: steps_static(a[: len(a) // seats * seats], seats),
        ),
    ),
    probes=(Question.of(ANSWERS, seats=3), Question.of(ANSWERS, seats=2)),
)
CONTINUOUS = Formula(
    "steps_continuous",
    steps_continuous,
    "steps",
    (
        Mistake("everybody waits for the slowest of a batch", steps_static),
        Mistake("the work is spread evenly over the seats", _no_waiting),
        Mistake("the longest answer is served first", _longest_first),
        Mistake(
            "a seat stays empty for a step when it falls free",
            lambda a, seats: max(0, steps_continuous([each + 1 for each in a], seats) - bool(a)),
        ),
        Mistake(
            "reading a prompt takes a step beside those of the answer",
            lambda a, seats: steps_continuous([each + 1 for each in a], seats),
        ),
        Mistake(
            "guests are given to the seats in turn",
            lambda a, seats: max([sum(a[seat::seats]) for seat in range(seats)]),
        ),
    ),
    probes=(Question.of(ANSWERS, seats=3), Question.of([2, 2, 2, 3, 3], seats=2)),
)
LITTLE = Formula(
    "requests_in_flight",
    lambda rate, seconds_each: float(rate * seconds_each),
    mistakes=(
        Mistake("the rate is divided by the time", lambda rate, seconds_each: rate / seconds_each),
        Mistake("the time is divided by the rate", lambda rate, seconds_each: seconds_each / rate),
    ),
    probes=(Question.of(4.0, 2.5),),
)
