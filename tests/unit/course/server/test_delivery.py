"""What is told of an answer, and when: nothing is lost, nothing waits that somebody waits for."""

from __future__ import annotations

import random

import pytest

from course.server.delivery import CROWD, INTERVAL, Delivery
from course.server.question import Question
from reference_engine.engine import Event
from reference_engine.sampler import Sampling


def question(
    *, stream: bool = True, stops: tuple[str, ...] = (), scores: int | None = None
) -> Question:
    sampling = Sampling(scores=scores)
    return Question(False, ((1, 2),), (), 16, sampling, 1, stops, None, 0, stream, False)


def delivery(answers: int, **keywords: object) -> Delivery:
    made = Delivery()
    for id in range(answers):
        made.begin(id, question(**keywords))  # type: ignore[arg-type]
    return made


def test_while_few_are_served_every_token_is_told_at_once() -> None:
    made = delivery(CROWD - 1)
    for step in range(5):
        event = Event(0, (step,), False)
        assert made.take(event, step * 1e-4) == event


def test_in_a_crowd_tokens_wait_for_each_other_but_not_the_first_and_the_last() -> None:
    made = delivery(CROWD)
    assert made.take(Event(0, (1,), False), 0.0) == Event(0, (1,), False)
    assert made.take(Event(0, (2,), False), 0.001) is None
    assert made.take(Event(0, (3,), False), INTERVAL) == Event(0, (2, 3), False)
    assert made.take(Event(0, (4,), False), INTERVAL + 0.001) is None
    assert made.take(Event(0, (5,), True), INTERVAL + 0.002) == Event(0, (4, 5), True)


@pytest.mark.parametrize("keywords", [{"stops": ("x",)}, {"scores": 1}])
def test_stop_strings_and_scores_do_not_wait(keywords: dict[str, object]) -> None:
    made = delivery(2 * CROWD, **keywords)
    for step in range(3):
        assert made.take(Event(0, (step,), False), step * 1e-4) is not None


def test_what_is_held_is_told_though_the_answer_says_nothing_more() -> None:
    made = delivery(CROWD)
    made.take(Event(0, (1,), False), 0.0)
    made.take(Event(0, (2,), False), 0.001)
    assert not [*made.due(0.002)]
    assert [*made.due(INTERVAL)] == [Event(0, (2,), False)]
    assert not [*made.due(1.0)]


def test_nothing_is_lost_and_nothing_told_twice() -> None:
    chance, made = random.Random(0), delivery(2 * CROWD)
    said, told = (
        {id: list[int]() for id in range(2 * CROWD)},
        {id: list[int]() for id in range(2 * CROWD)},
    )
    for step in range(200):
        now = step * 0.007
        for id in chance.sample(range(2 * CROWD), CROWD):
            said[id].append(step)
            event = made.take(Event(id, (step,), False), now)
            told[id] += event.tokens if event else ()
        for event in made.due(now):
            told[event.id] += event.tokens
    for event in made.all():
        told[event.id] += event.tokens
    assert told == said
