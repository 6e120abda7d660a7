"""Exercise 6 drawn: one real step of the waiter, what grew, what was kept of it, what stood."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from course.drawings.waiter_answer import WaiterAnswer
from course.errors import needing_the_waiter
from course.targets import solution_file
from course.window.page import EngineRun, Window
from graders.registry.catalogue import catalogue
from graders.registry.parts import part_in

SIZE, DEPTH, WIDTH, GUESSES = 10, 3, 3, 3
STOOD, KEPT, CUT = "bold green", "", "dim"


@dataclass(frozen=True, slots=True)
class Branch:
    """A candidate. parent: its index, -1: the root. chance: of its path, by the drafter. node: 0:
    it was cut off."""

    parent: int
    word: str
    chance: float
    node: int
    stood: bool


@dataclass(frozen=True, slots=True)
class GrownTree:
    """One step. before: the answer so far. root: the word of node 0. next: what the model said
    where the path ended."""

    question: str
    before: str
    root: str
    branches: tuple[Branch, ...]
    next: str

    @property
    def gained(self) -> int:
        """Tokens of the pass, the model's own one included."""
        return 1 + sum(each.stood for each in self.branches)

    @property
    def expected(self) -> float:
        """The same, by the drafter's own confidence."""
        return 1 + sum(each.chance for each in self.branches if each.node)


@dataclass(frozen=True, slots=True)
class GrownAnswer:
    """One answer. words: the text of each token that was met."""

    steps: tuple[GrownTree, ...]
    run: EngineRun
    words: Mapping[int, str]


def show(part: Any) -> list[Text]:
    """What `course show` draws of a module that grows trees. `Problem` when the waiter cannot be
    loaded."""
    return draw(max(play(part).steps, key=lambda step: step.gained))


def window(part: Any, title: str) -> Window:
    """The whole answer in the window."""
    answer = play(part)
    return Window(title, (answer.run,), answer.words)


def play(part: Any) -> GrownAnswer:
    """Let the waiter answer one request with trees that the part grows."""
    with needing_the_waiter():
        return _played(part)


def _played(part: Any) -> GrownAnswer:
    from reference_engine.eagle import LAYER
    from reference_engine.eagle.drafter import LayerDrafter
    from reference_engine.eagle.layer import load_layer
    from reference_engine.eagle.speculator import EagleSpeculator
    from reference_engine.model_loader import load_model
    from reference_engine.parts import load_part

    model = load_model("waiter")
    verifying = load_part(solution_file(catalogue(part_in("medusa").number)), "medusa")
    sizes: dict[str, Any] = {"size": SIZE, "depth": DEPTH, "width": WIDTH, "guesses": GUESSES}
    speculator = EagleSpeculator(verifying, part, LayerDrafter(load_layer(LAYER, model)), **sizes)
    answer = WaiterAnswer(model, speculator, "an answer with grown trees")
    steps = [
        _drawn(answer, speculator, each, before)
        for before, _, step in answer.steps()
        for each in step.trees
    ]
    return GrownAnswer(tuple(steps), answer.run, answer.words())


def draw(step: GrownTree) -> list[Text]:
    """The step: the growth as a tree, then its figures."""
    kept = sum(each.node > 0 for each in step.branches)
    lines = [
        Text(step.question.splitlines()[0]),
        Text.assemble(("Waiter:", "dim"), (step.before, "bold")),
        Text(),
    ]
    lines.append(
        Text(
            f"{len(step.branches)} candidates grew, {kept} were kept beside the root:", style="dim"
        )
    )
    lines.append(
        Text.assemble(
            "  ", (repr(step.root), "bold"), ("   node 0: the model's own word, certain", "dim")
        )
    )
    lines += _branches(step.branches, -1, "  ")
    lines += [
        Text.assemble(
            "  then the model says ",
            (repr(step.next), "bold"),
            (", which nobody had to guess", "dim"),
        ),
        Text(),
        Text(
            f"  this pass: {step.gained} tokens; {step.expected:.2f} expected by the drafter's own confidence"
        ),
    ]
    return lines


def _branches(branches: Sequence[Branch], parent: int, indent: str) -> Iterator[Text]:
    children = [index for index, each in enumerate(branches) if each.parent == parent]
    for index in children:
        each, last = branches[index], index == children[-1]
        mark = "✓" if each.stood else "·" if each.node else "✂"
        style = STOOD if each.stood else KEPT if each.node else CUT
        where = f"   {each.chance:.2f}" + (f", node {each.node}" if each.node else "")
        twig = (f"{indent}{'└' if last else '├'}─ ", "dim")
        yield Text.assemble(twig, (f"{mark} {each.word!r}", style), (where, "dim"))
        yield from _branches(branches, index, indent + ("   " if last else "│  "))


def _drawn(answer: WaiterAnswer, speculator: Any, each: Any, before: str) -> GrownTree:
    growth, tree = speculator.grown, speculator.trees[each.id]
    parents, tokens = growth.parent[0].tolist(), growth.token[0].tolist()
    nodes = _nodes(parents, tokens, each.tokens, tree.parent.tolist())
    branches = tuple(
        Branch(
            parent,
            answer.text([token]),
            math.exp(value),
            nodes.get(index, 0),
            nodes.get(index, 0) in each.walk[1:],
        )
        for index, (parent, token, value) in enumerate(
            zip(parents, tokens, growth.value[0].tolist(), strict=True)
        )
    )
    return GrownTree(
        answer.question, before, answer.text([each.tokens[0]]), branches, answer.text([each.next])
    )


def _nodes(
    parents: Sequence[int], tokens: Sequence[int], kept: Sequence[int], above: Sequence[int]
) -> dict[int, int]:
    """The node of each candidate that was kept: its parent's child with the same token that is not
    taken yet."""
    nodes, free = {-1: 0}, set(range(1, len(kept)))
    for index, (parent, token) in enumerate(zip(parents, tokens, strict=True)):
        found = sorted(
            node for node in free if kept[node] == token and above[node] == nodes.get(parent)
        )
        if found:
            nodes[index] = found[0]
            free.discard(found[0])
    return nodes
