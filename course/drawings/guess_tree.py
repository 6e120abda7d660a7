"""Exercise 4 drawn: the guess tree of a real step, what each head guessed, what stood, what it
cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rich.text import Text
from torch import Tensor  # here already, so that loading it is not on the account of the part

from course.drawings.waiter_answer import WaiterAnswer
from course.errors import needing_the_waiter
from course.window.page import EngineRun, Window
from reference_engine.metrics import VerifiedTree
from reference_engine.slots import Chunk

ACCEPTED, REJECTED, SURE = "bold green", "dim", "bold"


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the tree: its path of ranks, the word it proposes, whether it stood.

    position: of its token in the text. slot: where its KV was written. sees: the nodes that its row
    of the mask shows.
    """

    path: tuple[int, ...]
    word: str
    stood: bool
    position: int
    slot: int
    sees: frozenset[int]


@dataclass(frozen=True, slots=True)
class GuessTree:
    """One verified pass.

    before: the answer so far, node 0's word included. nodes: in node order, node 0 first. heads:
    for each head its guesses that the tree uses, best first. next: the word that the model said at
    the end of the path. gained: tokens that the answer got. moves: (from, to), the slots between
    which `compact` moved KV.
    """

    number: int
    before: str
    nodes: tuple[Node, ...]
    heads: tuple[tuple[str, ...], ...]
    next: str
    gained: int
    moves: tuple[tuple[int, int], ...]

    @property
    def stood(self) -> int:
        """Guesses that were what the model says."""
        return sum(node.stood for node in self.nodes[1:])

    def children(self, path: tuple[int, ...]) -> list[Node]:
        """Those directly below a path."""
        return [
            node
            for node in self.nodes
            if len(node.path) == len(path) + 1 and node.path[:-1] == path
        ]


@dataclass(frozen=True, slots=True)
class DecodedAnswer:
    """One answer, decoded with guesses. expected: tokens a pass that the tree promised where it was
    chosen.

    trace: the engine's records. tokens: of the answer. words: the text of each token that was met.
    """

    question: str
    answer: str
    passes: tuple[GuessTree, ...]
    tokens: int
    expected: float
    run: EngineRun
    words: Mapping[int, str]

    @property
    def gained(self) -> int:
        """Tokens that came from passes with guesses; the first came from reading the question."""
        return sum(each.gained for each in self.passes)

    @property
    def measured(self) -> float:
        """Tokens a pass in this answer."""
        return self.gained / len(self.passes) if self.passes else 0.0

    @property
    def telling(self) -> GuessTree:
        """The pass to draw: of those in which something stood and something fell, the one that
        gained most."""
        mixed = [each for each in self.passes if each.gained > 1] or list(self.passes)
        return max(mixed, key=lambda each: (each.gained, -each.number))


def show(part: Any) -> list[Text]:
    """What `course show` draws of a module that verifies. `Problem` when the waiter cannot be
    loaded."""
    return draw(play(part))


def window(part: Any, title: str) -> Window:
    """The whole answer in the window."""
    answer = play(part)
    return Window(title, (answer.run,), answer.words)


def play(part: Any) -> DecodedAnswer:
    """Let the waiter answer one request, with this verification and the shipped heads."""
    with needing_the_waiter():
        return _played(part)


def _played(part: Any) -> DecodedAnswer:
    from reference_engine.medusa import HEADS
    from reference_engine.medusa.heads import load_heads
    from reference_engine.medusa.speculator import MedusaSpeculator
    from reference_engine.medusa.tree_search import read_tree
    from reference_engine.model_loader import load_model

    model = load_model("waiter")
    speculator = MedusaSpeculator(part, load_heads(HEADS, model), read_tree(HEADS))
    answer = WaiterAnswer(model, speculator, "an answer with guesses")
    passes: list[GuessTree] = []
    for before, gained, step in answer.steps():
        for each in step.trees:
            tree = _drawn(answer, speculator, each, step.plan.chunks[0])
            passes.append(replace(tree, number=len(passes) + 1, before=before, gained=gained))
    return DecodedAnswer(
        answer.question,
        answer.text(answer.said),
        tuple(passes),
        len(answer.said),
        speculator.choice.expected,
        answer.run,
        answer.words(),
    )


def draw(answer: DecodedAnswer) -> list[Text]:
    """The telling pass of an answer, then all its passes in numbers."""
    tree = answer.telling
    question = answer.question.splitlines()[0]
    said = Text.assemble(("Waiter:", "dim"), (tree.before, SURE))
    lines = [
        Text(question),
        said,
        Text(),
        Text(f"Pass {tree.number}, {len(tree.nodes)} rows:", style="dim"),
    ]
    root = tree.nodes[0]
    lines.append(
        Text.assemble(
            "  ", (repr(root.word), SURE), ("   node 0: the model's own word, certain", "dim")
        )
    )
    lines += _branches(tree, (), "  ")
    lines.append(
        Text.assemble(
            "  then the model says ",
            (repr(tree.next), SURE),
            (", which nobody had to guess", "dim"),
        )
    )
    return [*lines, Text(), *_heads(tree), Text(), *_layout(tree), Text(), *_costs(answer, tree)]


def _drawn(answer: WaiterAnswer, speculator: Any, each: VerifiedTree, chunk: Chunk) -> GuessTree:
    words = [answer.text([token]) for token in each.tokens]
    paths = ((), *sorted(speculator.choice.choices, key=lambda path: (len(path), path)))
    root = chunk.start + chunk.length - 1
    nodes = tuple(
        Node(
            path, word, index in each.walk, root + speculator.depths[index], each.slots[index], sees
        )
        for index, (path, word, sees) in enumerate(
            zip(paths, words, _seen(speculator.mask), strict=True)
        )
    )
    heads = []
    for depth in range(1, speculator.choice.depth + 1):
        guesses = {node.path[-1]: node.word for node in nodes if len(node.path) == depth}
        heads.append(tuple(guesses[rank] for rank in sorted(guesses)))
    return GuessTree(0, "", nodes, tuple(heads), answer.text([each.next]), 0, each.moves)


def _seen(mask: Tensor) -> list[frozenset[int]]:
    return [frozenset(other for other, sees in enumerate(row) if sees) for row in mask.tolist()]


def _branches(tree: GuessTree, path: tuple[int, ...], indent: str) -> Iterator[Text]:
    children = tree.children(path)
    for child in children:
        last = child is children[-1]
        mark, style = ("✓", ACCEPTED) if child.stood else ("·", REJECTED)
        where = f"   head {len(child.path)}, guess {child.path[-1] + 1}"
        yield Text.assemble(
            (f"{indent}{'└' if last else '├'}─ ", "dim"),
            (f"{mark} {child.word!r}", style),
            (where, "dim"),
        )
        yield from _branches(tree, child.path, indent + ("   " if last else "│  "))


def _heads(tree: GuessTree) -> Iterator[Text]:
    for number, guesses in enumerate(tree.heads, 1):
        words = ", ".join(map(repr, guesses))
        yield Text.assemble(
            f"  head {number}", (f" guesses the word {number} after node 0: ", "dim"), words
        )


def _layout(tree: GuessTree) -> Iterator[Text]:
    """A row of the pass for each node: its position, its slot, whom it sees; then where KV that
    stays goes."""
    yield Text(
        "  node  word            position  slot  its row of the mask: the nodes that it sees",
        style="dim",
    )
    for number, node in enumerate(tree.nodes):
        mask = "".join("■" if other in node.sees else "·" for other in range(len(tree.nodes)))
        row = f"  {number:>4}  {node.word!r:<14}  {node.position:>8}  {node.slot:>4}  "
        yield Text.assemble((row, ACCEPTED if node.stood else REJECTED), mask)
    moves = ", ".join(f"slot {source} to {target}" for source, target in tree.moves)
    yield Text(f"  compact moves KV: {moves or 'none, all that stays lies where it belongs'}")


def _costs(answer: DecodedAnswer, tree: GuessTree) -> list[Text]:
    rows, vain = len(tree.nodes), len(tree.nodes) - 1 - tree.stood
    behind = tree.stood + 1 - tree.gained
    cut = f", less {behind} behind the end of the answer" if behind else ""
    passes = " + ".join(str(each.gained) for each in answer.passes)
    return [
        Text(
            f"  this pass: {rows} rows = node 0 + {tree.stood} that stood + {vain} in vain; {rows} KV slots"
        ),
        Text(
            f"  gained: {tree.gained} tokens = {tree.stood} that stood + the model's own next{cut}"
        ),
        Text(
            f"  the answer: {answer.tokens} tokens = {answer.tokens - answer.gained} from the question + {passes}"
        ),
        Text(
            f"  tokens a pass: {answer.measured:.2f} here, {answer.expected:.2f} expected of this tree, 1 without"
        ),
    ]
