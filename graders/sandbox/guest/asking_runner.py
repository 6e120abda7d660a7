"""A runner and heads that compute nothing: the grader holds the model and the KV, and makes passes
and guesses.

So what a timed engine costs is not in the part's process: neither weights, nor the pool and its
size, nor the seats. One question a step: {"forward": {"tables": [[seat, place, block] …] that have
changed, "kv": moves since the last pass, in order, [sources, targets, whole blocks?], "spans":
[[seat, start, wanted, tree, tokens] …], "tree": [depths, mask as 0 and 1] or null}}; the answer
{"likeliest": [token of each wanted row]}, with "logits" where tokens are drawn of them, and with
"hidden" where somebody reads that. Where heads guess one more: {"guess": {"rows": of those that
were wanted, "count"}}; the answer {"guesses": [for each row [for each head [tokens]]]}.
"""

from dataclasses import dataclass

import numpy as np
import torch

from reference_engine.engine import Engine
from reference_engine.runner import Outcome
from reference_engine.step_executor import Decoder


def asking_engine(line, whole=False):
    """The class of an engine whose forward passes are asked for on `line`. whole: their results are
    told, too."""

    def decoder(runner, *rest):
        return Decoder(AskingRunner(runner.tables, line, whole), *rest)

    return type("AskingEngine", (Engine,), {"decoder_type": staticmethod(decoder)})


@dataclass(frozen=True, slots=True)
class AskedOutcome(Outcome):
    """found: each row's likeliest token. logits: if they were told, else their shape alone. hidden:
    see `_outcome`."""

    found: list

    def likeliest(self):
        return list(self.found)


class AskingRunner:
    """See `reference_engine.runner.Runner`."""

    def __init__(self, tables, line, whole=False):
        self.tables = tables
        self._line = line
        self._whole = whole
        self._told = np.zeros_like(tables.array)
        self._kv = []

    def copy(self, copies):
        if copies:
            self._kv.append([[copy.src for copy in copies], [copy.dst for copy in copies], True])

    def move(self, source, target):
        self._kv.append([list(source), list(target), False])

    def forward(self, batch):
        spans = [_told(span) for span in batch.spans]
        tree = None if batch.mask is None else [list(batch.depths), batch.mask.int().tolist()]
        asked = {"tables": self._changed(), "kv": self._kv, "spans": spans, "tree": tree}
        self._kv = []
        answer = self._line.ask({"forward": asked})
        return _whole(answer) if self._whole else _outcome(answer)

    def _changed(self):
        now, told = self.tables.array, self._told
        rows, places = np.nonzero(now != told)
        blocks = now[rows, places]
        told[rows, places] = blocks
        return np.stack((rows, places, blocks), axis=1).tolist()


def _told(span):
    """Where each request has a tree of its own, with the number of its first node in the batch."""
    told = [span.seat, span.start, span.wanted, span.tree, list(span.tokens)]
    return [*told, span.first] if span.first else told


def _whole(answer):
    hidden, logits = torch.tensor(answer["hidden"]), torch.tensor(answer["logits"])
    return AskedOutcome(hidden, logits, answer["likeliest"])


def _outcome(answer):
    """hidden: of each row its number alone, by which `AskingHeads` asks."""
    found = answer["likeliest"]
    told = answer.get("logits")
    logits = torch.tensor(told) if told else torch.empty(0, answer["vocab"])
    return AskedOutcome(torch.arange(len(found))[:, None], logits, found)


class AskingHeads:
    """See `reference_engine.medusa.heads.Guesser`."""

    def __init__(self, line):
        self._line = line

    def guess(self, told, hidden, count):
        answer = self._line.ask({"guess": {"rows": hidden[:, 0].tolist(), "count": count}})
        return torch.tensor(answer["guesses"])

    def forget(self, id):
        """Heads remember nobody."""
