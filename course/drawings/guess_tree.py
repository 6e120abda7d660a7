"""Exercise 4 drawn: the guess tree of a real step, what each head guessed, what stood, what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from course.errors import ExitCode, Problem

DIALOGUE = 300_004  # a held-out dialogue
TURN = 2
LONGEST = 48
ACCEPTED, REJECTED, SURE = "bold green", "dim", "bold"


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the tree: its path of ranks, the word it proposes, whether it stood."""

    path: tuple[int, ...]
    word: str
    stood: bool


@dataclass(frozen=True, slots=True)
class GuessTree:
    """One verified pass.

    before: the answer so far, node 0's word included. nodes: in node order, node 0 first. heads: for each head its
    guesses that the tree uses, best first. next: the word that the model said at the end of the path.
    """

    number: int
    before: str
    nodes: tuple[Node, ...]
    heads: tuple[tuple[str, ...], ...]
    next: str

    @property
    def gained(self) -> int:
        """Tokens that the pass yielded."""
        return sum(node.stood for node in self.nodes)

    def children(self, path: tuple[int, ...]) -> list[Node]:
        """Those directly below a path."""
        return [node for node in self.nodes if len(node.path) == len(path) + 1 and node.path[:-1] == path]


@dataclass(frozen=True, slots=True)
class DecodedAnswer:
    """One answer, decoded with guesses. expected: tokens a pass that the tree promised where it was chosen."""

    question: str
    answer: str
    passes: tuple[GuessTree, ...]
    tokens: int
    expected: float

    @property
    def measured(self) -> float:
        """Tokens a pass in this answer; its first token came from reading the question."""
        return (self.tokens - 1) / len(self.passes) if self.passes else 0.0

    @property
    def telling(self) -> GuessTree:
        """The pass to draw: of those in which something stood and something fell, the one that gained most."""
        mixed = [each for each in self.passes if each.gained > 1] or list(self.passes)
        return max(mixed, key=lambda each: (each.gained, -each.number))


def show(part: Any) -> list[Text]:
    """What `course show` draws of a module that verifies. `Problem` when the waiter cannot be loaded."""
    from reference_engine.model import ModelError

    try:
        return draw(play(part))
    except ModelError as error:
        raise Problem(f"the waiter is not well: {error}.", ExitCode.UNGRADED) from error


def play(part: Any) -> DecodedAnswer:
    """Let the waiter answer one request, with this verification and the shipped heads. `ModelError` without a model."""
    from reference_engine.engine import Engine
    from reference_engine.medusa import HEADS
    from reference_engine.medusa.heads import load_heads
    from reference_engine.medusa.speculator import MedusaSpeculator
    from reference_engine.medusa.tree_search import read_tree
    from reference_engine.model_loader import load_model
    from reference_engine.waiter.corpus import END, dialogue
    from reference_engine.waiter.tokenizer import special_id

    model, told = load_model("waiter"), dialogue(DIALOGUE, "heldout", turns=TURN + 1)
    speculator = MedusaSpeculator(part, load_heads(HEADS, model), read_tree(HEADS), keep=True)
    prompt = model.tokenizer.encode(told.prompt(TURN)).ids
    blocks = 2 + (len(prompt) + LONGEST + speculator.lookahead) // 16
    engine = Engine(model, num_blocks=2 * blocks, max_seqs=1, token_budget=2048, speculator=speculator)
    engine.add(prompt, LONGEST, eos=special_id(model.tokenizer, END))
    said: list[int] = []
    passes: list[GuessTree] = []
    while not engine.idle:
        before = _words(model, said)
        (event,) = engine.step()
        said += event.tokens
        passes += [_drawn(model, speculator, each, len(passes) + 1, before) for each in speculator.passes]
    answer = _words(model, said)
    return DecodedAnswer(told.turns[TURN].asked, answer, tuple(passes), len(said), speculator.choice.expected)


def draw(answer: DecodedAnswer) -> list[Text]:
    """The telling pass of an answer, then all its passes in numbers."""
    tree = answer.telling
    question = answer.question.splitlines()[0]
    said = Text.assemble(("Waiter:", "dim"), (tree.before, SURE))
    lines = [Text(question), said, Text(), Text(f"Pass {tree.number}, {len(tree.nodes)} rows:", style="dim")]
    root = tree.nodes[0]
    lines.append(Text.assemble("  ", (_quoted(root.word), SURE), ("   node 0: the model's own word, certain", "dim")))
    lines += _branches(tree, (), "  ")
    lines.append(
        Text.assemble("  then the model says ", (_quoted(tree.next), SURE), (", which nobody had to guess", "dim"))
    )
    lines += [Text(), *_heads(tree), Text(), *_costs(answer, tree)]
    return lines


def _drawn(model: Any, speculator: Any, each: Any, number: int, before: str) -> GuessTree:
    words = [_words(model, [token]) for token in each.tokens]
    paths = ((), *sorted(speculator.choice.choices, key=lambda path: (len(path), path)))
    nodes = tuple(
        Node(path, word, index in each.walk) for index, (path, word) in enumerate(zip(paths, words, strict=True))
    )
    heads = []
    for depth in range(1, speculator.choice.depth + 1):
        guesses = {node.path[-1]: node.word for node in nodes if len(node.path) == depth}
        heads.append(tuple(guesses[rank] for rank in sorted(guesses)))
    return GuessTree(number, before, nodes, tuple(heads), _words(model, [each.next]))


def _branches(tree: GuessTree, path: tuple[int, ...], indent: str) -> Iterator[Text]:
    children = tree.children(path)
    for child in children:
        last = child is children[-1]
        mark, style = ("✓", ACCEPTED) if child.stood else ("·", REJECTED)
        where = f"   head {len(child.path)}, guess {child.path[-1] + 1}"
        yield Text.assemble(
            (f"{indent}{'└' if last else '├'}─ ", "dim"), (f"{mark} {_quoted(child.word)}", style), (where, "dim")
        )
        yield from _branches(tree, child.path, indent + ("   " if last else "│  "))


def _heads(tree: GuessTree) -> Iterator[Text]:
    for number, guesses in enumerate(tree.heads, 1):
        words = ", ".join(map(_quoted, guesses))
        yield Text.assemble(f"  head {number}", (f" guesses the word {number} after node 0: ", "dim"), words)


def _costs(answer: DecodedAnswer, tree: GuessTree) -> list[Text]:
    rows, rejected = len(tree.nodes), len(tree.nodes) - tree.gained
    passes = ", ".join(str(each.gained) for each in answer.passes)
    return [
        Text(
            f"  this pass: {rows} rows computed, {rows} KV slots, {tree.gained} tokens gained, {rejected} rows in vain"
        ),
        Text(f"  the answer: {answer.tokens} tokens, the first from reading the question, then {passes}"),
        Text(f"  tokens a pass: {answer.measured:.2f} here, {answer.expected:.2f} expected of this tree, 1 without"),
    ]


def _words(model: Any, tokens: Sequence[int]) -> str:
    words: str = model.tokenizer.decode(list(tokens), skip_special_tokens=False)
    return words


def _quoted(word: str) -> str:
    return repr(word)
