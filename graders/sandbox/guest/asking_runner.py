"""A runner and heads that compute nothing: the grader holds the model and the KV, and makes passes and guesses.

So what a timed engine costs is not in the part's process: neither weights, nor the pool and its size, nor the seats.
One question a step: {"forward": {"tables": [[seat, place, block] …] that have changed, "kv": moves since the last
pass, in order, [sources, targets, whole blocks?], "spans": [[seat, start, wanted, tree, tokens] …], "tree": [depths,
mask as 0 and 1] or null}}; the answer {"likeliest": [token of each wanted row]}. Where heads guess one more: {"guess":
{"rows": of those that were wanted, "count"}}; the answer {"guesses": [for each row [for each head [tokens]]]}.
"""

from dataclasses import dataclass

import numpy as np
import torch

from reference_engine.engine import Engine
from reference_engine.runner import Outcome
from reference_engine.step_executor import Decoder


def asking_engine(line):
    """The class of an engine whose forward passes are asked for on `line`."""

    def decoder(runner, *rest):
        return Decoder(AskingRunner(runner.tables, line), *rest)

    return type("AskingEngine", (Engine,), {"decoder_type": staticmethod(decoder)})


@dataclass(frozen=True, slots=True)
class AskedOutcome(Outcome):
    """found: each row's likeliest token. logits: only their shape is known. hidden: see `_outcome`."""

    found: list

    def likeliest(self):
        return list(self.found)


class AskingRunner:
    """See `reference_engine.runner.Runner`."""

    def __init__(self, tables, line):
        self.tables = tables
        self._line = line
        self._told = np.zeros_like(tables.array)
        self._kv = []

    def copy(self, copies):
        if copies:
            self._kv.append([[copy.src for copy in copies], [copy.dst for copy in copies], True])

    def move(self, source, target):
        self._kv.append([list(source), list(target), False])

    def forward(self, batch):
        spans = [[span.seat, span.start, span.wanted, span.tree, list(span.tokens)] for span in batch.spans]
        tree = None if batch.mask is None else [list(batch.depths), batch.mask.int().tolist()]
        asked = {"tables": self._changed(), "kv": self._kv, "spans": spans, "tree": tree}
        self._kv = []
        answer = self._line.ask({"forward": asked})
        return _outcome(answer)

    def _changed(self):
        now, told = self.tables.array, self._told
        rows, places = np.nonzero(now != told)
        blocks = now[rows, places]
        told[rows, places] = blocks
        return np.stack((rows, places, blocks), axis=1).tolist()


def _outcome(answer):
    """hidden: of each row its number alone, by which `AskingHeads` asks."""
    found = answer["likeliest"]
    return AskedOutcome(torch.arange(len(found))[:, None], torch.empty(0, answer["vocab"]), found)


class AskingHeads:
    """See `reference_engine.medusa.heads.Guesser`."""

    def __init__(self, line):
        self._line = line

    def guess(self, told, hidden, count):
        answer = self._line.ask({"guess": {"rows": hidden[:, 0].tolist(), "count": count}})
        return torch.tensor(answer["guesses"])

    def forget(self, id):
        """Heads remember nobody."""
