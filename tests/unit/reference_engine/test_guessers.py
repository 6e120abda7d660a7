"""Who guesses is made by name, and which name is meant follows from the parts that are there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from graders.experiments.workbench import solved
from reference_engine.drafting.speculator import DraftSpeculator
from reference_engine.eagle.speculator import EagleSpeculator
from reference_engine.guessers import DRAFT, EAGLE, MEDUSA, PLAIN, guesser_of, speculator_for
from reference_engine.medusa.speculator import MedusaSpeculator
from reference_engine.model_loader import load_model
from reference_engine.parts import Parts

ALL = solved(cache=True)
NO_DRAFT = replace(ALL, speculative_sampling=None)
NO_LAYER = replace(NO_DRAFT, draft_tree=None)
NOBODY = replace(NO_LAYER, medusa=None)


@pytest.mark.parametrize(
    ("parts", "name"), [(ALL, DRAFT), (NO_DRAFT, EAGLE), (NO_LAYER, MEDUSA), (NOBODY, PLAIN)]
)
def test_the_part_that_is_there_says_who_guesses(parts: Parts, name: str) -> None:
    kinds = {
        DRAFT: DraftSpeculator,
        EAGLE: EagleSpeculator,
        MEDUSA: MedusaSpeculator,
        PLAIN: type(None),
    }
    assert guesser_of(parts) == name
    assert type(speculator_for(name, load_model("waiter"), parts)) is kinds[name]


def test_who_guesses_only_while_it_pays_says_that_it_does_not_know_yet() -> None:
    told = {
        thrifty: speculator_for(MEDUSA, load_model("waiter"), ALL, thrifty=thrifty).verdict(1)  # type: ignore[union-attr]
        for thrifty in (True, False)
    }
    assert told == {
        True: "1 request: what a tree costs is not measured yet",
        False: "speculation is on; its cost was not measured",
    }


def test_an_unknown_name_is_a_sentence() -> None:
    with pytest.raises(
        ValueError, match="nobody called 'oracle' guesses; there are plain, draft, medusa, eagle"
    ):
        speculator_for("oracle", load_model("waiter"), ALL)
