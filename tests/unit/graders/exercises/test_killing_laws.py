"""`make killers` asks the law that a wrong part names, seed by seed; one that lives is told with
its seeds."""

from __future__ import annotations

from dataclasses import replace

import killing_laws
import pytest
from wrong_parts import right_parts, wrong_part

from graders.registry.catalogue import catalogue

FIRST = [law for law in catalogue(1).laws if law.name == "block arithmetic"]


def test_a_wrong_part_that_dies_at_every_seed_is_no_surprise() -> None:
    (judged,) = killing_laws.wrong(1, FIRST, range(2), "admit_returns_its_table")
    assert (judged.laws, judged.seeds, judged.seen) == (("1.1",), (), "")


def test_a_wrong_part_that_lives_is_told_with_its_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    right = replace(
        wrong_part(1, "admit_returns_its_table"), code=right_parts(1)[0].read_text(encoding="utf-8")
    )
    monkeypatch.setattr(killing_laws, "wrong_parts", lambda _: [right])
    (judged,) = killing_laws.wrong(1, FIRST, range(3, 5))
    assert (judged.seeds, judged.seen) == ((3, 4), "lives")


def test_a_right_part_has_to_live() -> None:
    (judged,) = killing_laws.right(1, FIRST, range(1), "tuples")
    assert (judged.seeds, judged.seen) == ((), "")


def test_laws_that_time_a_part_are_asked_when_they_are_named() -> None:
    asked = {law.name for law in catalogue(1).laws if killing_laws._asked_for(law, 1, [])}
    assert "watermark" in asked
    assert not asked & {"constant time", "fast enough", "same tokens"}
    assert [
        law.number for law in catalogue(1).laws if killing_laws._asked_for(law, 1, ["1.10"])
    ] == ["1.10"]
