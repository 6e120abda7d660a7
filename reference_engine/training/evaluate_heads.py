"""Measures the Medusa heads and chooses their tree: `python -m
reference_engine.training.evaluate_heads`.

The tree is chosen on dialogues of the training split that no training used; accuracies are of
held-out dialogues.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from reference_engine.medusa import HEADS
from reference_engine.medusa.heads import Heads, load_heads
from reference_engine.medusa.tree_search import TreeChoice, choose_tree, path_chances, write_tree
from reference_engine.model_loader import load_model
from reference_engine.training.greedy_text import NONE, Positions, answers
from reference_engine.training.heads_card import write_card
from reference_engine.training.storage import load_network, write_json
from reference_engine.waiter import CHECKPOINT
from reference_engine.waiter.tokenizer import load_tokenizer

NODES = 16
"""Nodes of the stored tree; smaller trees are its first nodes."""
GUESSES = 8
"""Guesses of a head that a tree may use."""
TELL_EVERY = 20  # dialogues
CHOSEN_ON = range(60_000_000, 60_000_200)
MEASURED_ON = range(100_000, 100_200)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How often one head is right, of the places where the text goes on far enough to know.

    top1: its best guess; top5: one of its five best; after: its best guess, where the best of
    earlier heads were right.
    """

    head: int
    places: int
    top1: float
    top5: float
    after: float


@dataclass(frozen=True, slots=True)
class HeadsFigures:
    """The heads, and the tree: tokens a pass as expected where it was chosen, and walked through
    held-out answers."""

    accuracies: tuple[Accuracy, ...]
    tree: TreeChoice
    passes: int
    walked: float


def measure(
    heads: Heads, chosen_on: Positions, measured_on: Positions, nodes: int = NODES
) -> HeadsFigures:
    """The figures of some heads."""
    tree = choose_tree(path_chances(_known(ranks(heads, chosen_on)), len(chosen_on)), nodes)
    places = ranks(heads, measured_on)
    passes, tokens = walk(tree, places, measured_on.opens)
    return HeadsFigures(
        tuple(_accuracies(places, measured_on.targets)), tree, passes, tokens / passes
    )


@torch.inference_mode()
def ranks(heads: Heads, text: Positions) -> Tensor:
    """int64 `[P, H]`: the place of the true token among each head's guesses, NONE where it is not
    among GUESSES."""
    found = []
    for start in range(0, len(text), 1024):
        guesses = heads.guess((), text.hidden[start : start + 1024], GUESSES)
        hit = guesses == text.targets[start : start + 1024, :, None]
        found.append(torch.where(hit.any(-1), hit.int().argmax(-1), NONE))
    return torch.cat(found)


def walk(tree: TreeChoice, places: Tensor, opens: Tensor) -> tuple[int, int]:
    """(passes, tokens) of decoding all answers with the tree, the first token of each answer left
    to the prefill."""
    passes = tokens = 0
    choices, rows = set(tree.choices), places.tolist()
    ends = [*opens.nonzero()[:, 0].tolist(), len(rows)]
    for start, end in pairwise(ends):
        at = start  # the next pass uses what the heads guessed here
        while at + 1 < end:
            path = tuple(rows[at])
            depth = max((d for d in range(1, tree.depth + 1) if path[:d] in choices), default=0)
            passes, tokens, at = passes + 1, tokens + min(depth + 1, end - 1 - at), at + depth + 1
    return passes, tokens


def _known(places: Tensor) -> Iterator[Sequence[int]]:
    """Of each place, the ranks up to the first head that misses."""
    for row in places.tolist():
        yield row[: row.index(NONE)] if NONE in row else row


def _accuracies(places: Tensor, targets: Tensor) -> Iterator[Accuracy]:
    before = torch.ones(len(places), dtype=torch.bool)
    for head in range(places.shape[1]):
        there, best = targets[:, head] != NONE, places[:, head] == 0
        listed = (places[:, head] >= 0) & (places[:, head] < 5)
        yield Accuracy(
            head=head + 1,
            places=int(there.sum()),
            top1=_share(best, there),
            top5=_share(listed, there),
            after=_share(best, there & before),
        )
        before &= best


def _share(right: Tensor, asked: Tensor) -> float:
    return round(float(right[asked].float().mean()), 4) if bool(asked.any()) else 0.0


def report(figures: HeadsFigures) -> str:
    """The figures as a table for a terminal."""
    lines = ["head   guesses      top-1   top-5   top-1 after right ones"]
    for each in figures.accuracies:
        lines.append(
            f"{each.head:>4}   t+1+{each.head:<7} {each.top1:>7.1%} {each.top5:>7.1%} {each.after:>10.1%}"
        )
    tree = figures.tree
    lines.append(
        f"tree of {tree.nodes} nodes, {tree.depth} deep: {tree.expected:.2f} tokens a pass expected, "
        f"{figures.walked:.2f} in {figures.passes} passes through held-out answers"
    )
    return "\n".join(lines)


def as_json(figures: HeadsFigures) -> dict[str, object]:
    """As figures.json holds them."""
    return {
        "heads": [
            {
                "head": each.head,
                "places": each.places,
                "top1": each.top1,
                "top5": each.top5,
                "after": each.after,
            }
            for each in figures.accuracies
        ],
        "tree": {
            "nodes": figures.tree.nodes,
            "depth": figures.tree.depth,
            "expected": round(figures.tree.expected, 4),
            "walked": round(figures.walked, 4),
            "passes": figures.passes,
        },
        "dialogues": len(MEASURED_ON),
        "command": "python -m reference_engine.training.evaluate_heads --write",
        "torch": torch.__version__,
        "date": datetime.now(UTC).date().isoformat(),
    }


def counted(seeds: Sequence[int], purpose: str) -> Iterator[int]:
    """The seeds of dialogues one by one; every now and then how many were read is told on stderr:
    it takes minutes."""
    for number, seed in enumerate(seeds, 1):
        yield seed
        if number % TELL_EVERY == 0 or number == len(seeds):
            print(f"{number} of {len(seeds)} dialogues {purpose}", file=sys.stderr)


def evaluate(
    checkpoint: Path, folder: Path, *, nodes: int = NODES, write: bool = False
) -> HeadsFigures:
    """Measure the heads in a folder; `write`: store the tree, figures.json and the model card
    beside them."""
    network, tokenizer = load_network(checkpoint), load_tokenizer(checkpoint)
    heads = load_heads(folder, load_model(checkpoint))
    choosing, measuring = (
        counted(CHOSEN_ON, "to choose a tree on"),
        counted(MEASURED_ON, "to measure on"),
    )
    chosen_on = answers(network, tokenizer, choosing, "train", heads.count)
    measured_on = answers(network, tokenizer, measuring, "heldout", heads.count)
    figures = measure(heads, chosen_on, measured_on, nodes)
    print(report(figures))
    if write:
        write_tree(figures.tree, folder)
        write_json(folder / "figures.json", as_json(figures))
        write_card(folder)
    return figures


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Measure the waiter's Medusa heads on dialogues nobody trained on."
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--heads", type=Path, default=HEADS)
    parser.add_argument("--nodes", type=int, default=NODES, help="size of the tree to choose")
    parser.add_argument(
        "--write", action="store_true", help="store tree, figures and model card beside the heads"
    )
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    figures = evaluate(options.checkpoint, options.heads, nodes=options.nodes, write=options.write)
    if options.json:
        print(json.dumps(as_json(figures), indent=2))


if __name__ == "__main__":
    main()
