"""One medusa module under test: every call is made, told, and compared with the specification, row
by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from graders.checking.check_context import CheckContext
from graders.checking.failure import Broken
from graders.checking.tensor_calls import NO_ROWS, TensorCallRecorder, cut
from graders.checking.wire_tensors import Array, sent
from graders.exercises.ex4_medusa import diagnostics, mistakes
from graders.exercises.ex4_medusa import specification as spec
from graders.exercises.ex4_medusa.specification import (
    Logits,
    Path,
    PathTree,
    Rows,
    RowVerdict,
    TypicalRule,
)
from graders.exercises.ex4_medusa.wire_tensors import python, sent_tree

FIELDS = ("parent", "depth", "rank", "mask")  # of a Tree
IMPORTS = "from math import inf, nan\n\nimport medusa\nimport torch\nfrom reference_engine.slots import Verdict\n"
PROBES = 14  # further questions, before a mistake is named


class MedusaCallRecorder(TensorCallRecorder):
    """The recorder of exercise 4."""

    NAMES: ClassVar[Mapping[str, Sequence[str]]] = {
        "build_tree": FIELDS,
        "verify_greedy": ("count", "nodes", "next"),
        "verify_typical": ("count", "nodes", "next"),
        "compact": ("src", "dst"),
    }

    def python(self, method: str, args: Sequence[Any]) -> list[str]:
        return python(method, args)


class MedusaJudge:
    """The five functions, each called on the part and judged; the first deviation raises Broken.

    views: the tensors that are handed over are views of larger ones.
    """

    def __init__(self, context: CheckContext, *, views: bool = False) -> None:
        self.scene = MedusaCallRecorder(context, "medusa", "medusa", IMPORTS)
        self.scene.views = views
        self.scene.load()

    # ------------------------------------------------------------ the calls

    def typical_refused(
        self, tree: PathTree, tokens: Rows, logits: Logits, rule: TypicalRule, why: str
    ) -> None:
        """A call of verify_typical that has to raise ValueError."""
        self._given(tree)
        args, written = _typical_args(tree, tokens, logits, rule, 0)
        self.scene.refused("verify_typical", args, written, why)

    def build_tree(self, choices: Sequence[Path], names: Sequence[str] = FIELDS) -> list[Array]:
        """Call it; parent, depth, rank and mask of the right shapes, not judged further. names:
        those that the story tells."""
        tree = PathTree.of(choices)
        count = len(tree)
        form = "list" if isinstance(choices, list) else "tuple"
        written = f"build_tree({choices})"

        def due() -> str:
            return cut(", ".join(f"{name} {getattr(tree, name)}" for name in names))

        result = self.scene.result(
            "build_tree", [[list(choice) for choice in choices], form], written, due
        )
        arrays = self.scene.named(result, FIELDS, "a Tree of tensors")
        self.scene.steps[-1].answer = ", ".join(
            f"{name} {arrays[FIELDS.index(name)]}" for name in names
        )
        got = arrays[0].shape
        if got != (count,):
            nodes = "[N] of one dimension" if len(got) != 1 else f"{got[0]} nodes"
            message = f"The tree of {choices} has {count} nodes with node 0 and every prefix; parent has {nodes}."
            self.scene.steps[-1].answer = f"parent {arrays[0]}"
            self.scene.broken(message, got=f"parent {arrays[0]}", expected=f"{count} nodes")
        for name, array in zip(FIELDS[:3], arrays[:3], strict=True):
            self.scene.typed(name, array, (count,))
        self.scene.typed("mask", arrays[3], (count, count), "bool")
        return arrays

    def propose(self, tree: PathTree, roots: Sequence[int], topk: Sequence[Rows]) -> None:
        """Judged row by row. topk[b][h][k]; B may be 0, then H and K are those the tree needs."""
        array = self.propose_raw(tree, roots, topk)
        for row, (root, guesses) in enumerate(zip(roots, topk, strict=True)):
            due = spec.propose(tree, root, guesses)
            self._same_tokens(tree, array.nested[row], due, row, topk)

    def verify_greedy(self, tree: PathTree, tokens: Rows, argmax: Rows) -> None:
        due = [spec.greedy(tree, *row) for row in zip(tokens, argmax, strict=True)]
        arrays = self.greedy_raw(tree, tokens, argmax)
        self._judge_walk(
            tree,
            arrays,
            due,
            lambda row, right: diagnostics.why_greedy(tree, right, tokens[row], argmax[row]),
        )

    def verify_typical(
        self, tree: PathTree, tokens: Rows, logits: Logits, rule: TypicalRule
    ) -> None:
        """Judged with `next` the argmax (rule.seed None, or temperature 0)."""
        due = [
            spec.typical(tree, *row, rule.temperature, rule.epsilon, rule.delta).verdicts
            for row in zip(tokens, logits, strict=True)
        ]
        strange = [
            diagnostics.nan_elsewhere(line, right[0].walk)
            for line, right in zip(logits, due, strict=True)
        ]
        result = self.typical_raw(
            tree, tokens, logits, rule, 0, note=next(filter(None, strange), "")
        )

        def why(row: int, right: RowVerdict) -> str:
            nodes = result[1].nested[row]
            told = diagnostics.why_typical(tree, tokens[row], logits[row], rule, right.walk, nodes)
            question = mistakes.Question(tree, tokens, logits, rule)
            told += f" {strange[row]}" if strange[row] else ""
            return told + (
                self._mistake(question, row, result[1].nested[row]) if rule.temperature else ""
            )

        self._judge_walk(tree, result, due, why)

    def _mistake(self, question: mistakes.Question, row: int, nodes: Sequence[int]) -> str:
        """The mistake that explains this verdict and those on a few other questions, with its p;
        empty if none does."""
        found = [mistake for mistake in mistakes.MISTAKES if mistake.explains(question, row, nodes)]
        for other in mistakes.others(PROBES) if found else ():
            try:
                asked = MedusaJudge(self.scene.context)
                _, given, _ = asked.typical_raw(
                    other.tree, other.tokens, other.logits, other.rule, 0
                )
            except Broken:
                return ""
            rows = list(enumerate(given.nested))
            found = [
                each for each in found if all(each.explains(other, at, nodes) for at, nodes in rows)
            ]
        return f" Your answer is what comes out {found[0].told(question, row)}." if found else ""

    def compact(
        self, tree: PathTree, verdicts: Sequence[RowVerdict], slots: Rows
    ) -> list[tuple[int, int]]:
        """The moves, judged: exactly those due, in any order."""
        moves = self.compact_raw(*_compaction_of(tree, verdicts, slots))
        self._judge_moves(moves, verdicts, slots)
        return moves

    # ------------------------------------------------------------ the calls, judged for form alone

    def propose_raw(self, tree: PathTree, roots: Sequence[int], topk: Sequence[Rows]) -> Array:
        """int [B, N]."""
        self._given(tree)
        written = f"propose(tree, root={list(roots)}, topk={_cut(topk)})"
        shape = (len(roots), *_shape_of_topk(tree, topk))
        args = [sent_tree(tree), sent("int64", roots, (len(roots),)), sent("int64", topk, shape)]

        def due() -> str:
            return cut(str([spec.propose(tree, *row) for row in zip(roots, topk, strict=True)]))

        result = self.scene.result("propose", args, written, due, NO_ROWS if not roots else "")
        return self.scene.one(result, (len(roots), len(tree)))

    def greedy_raw(self, tree: PathTree, tokens: Rows, argmax: Rows) -> list[Array]:
        """count, nodes, next."""
        self._given(tree)
        shape = (len(tokens), len(tree))
        args = [sent_tree(tree), sent("int64", tokens, shape), sent("int64", argmax, shape)]

        def due() -> str:
            right = [spec.greedy(tree, *row)[0] for row in zip(tokens, argmax, strict=True)]
            words = [
                diagnostics.verdict_words(row.count, row.padded(tree.height), row.next)
                for row in right
            ]
            return cut("; ".join(words)) or "an empty Verdict"

        written = f"verify_greedy(tree, tokens={_cut(tokens)}, argmax={_cut(argmax)})"
        result = self.scene.result(
            "verify_greedy", args, written, due, NO_ROWS if not tokens else ""
        )
        return self._verdict(tree, result, len(tokens))

    def typical_raw(
        self,
        tree: PathTree,
        tokens: Rows,
        logits: Logits,
        rule: TypicalRule,
        unrelated: int,
        brief: str = "",
        note: str = "",
    ) -> list[Array]:
        """count, nodes, next. unrelated: seeds the generator that the part must not use. brief: for
        the story. note: about the call, where it raises."""
        self._given(tree)
        args, written = _typical_args(tree, tokens, logits, rule, unrelated, brief)
        result = self.scene.result(
            "verify_typical",
            args,
            written,
            lambda: f"a Verdict, B = {len(tokens)}",
            note or ("" if tokens else NO_ROWS),
        )
        return self._verdict(tree, result, len(tokens))

    def compact_raw(self, verdict: list[Any], slots: Rows, written: str) -> list[tuple[int, int]]:
        """The moves. verdict: as the wire carries it."""
        rows, width = verdict[1][1]
        shape = (rows, len(slots[0]) if slots else width)
        due = "int64 src and dst of the moves"
        result = self.scene.result(
            "compact",
            [verdict, sent("int64", slots, shape)],
            written,
            lambda: due,
            NO_ROWS if not slots else "",
        )
        src, dst = self.scene.named(result, ("src", "dst"), "two tensors (src, dst)")
        for name, array in (("src", src), ("dst", dst)):
            if array.dtype != "int64" or len(array.shape) != 1:
                message = f"`compact` returned {name} as {array.dtype} {list(array.shape)}; int64 [moves] is due."
                self.scene.broken(message, got=str(array), expected="int64 [moves]")
        if src.shape != dst.shape:
            message = f"`compact` returned {src.shape[0]} sources for {dst.shape[0]} destinations."
            self.scene.broken(message, got=f"src {src}, dst {dst}", expected="as many of each")
        return list(zip(src.items, dst.items, strict=True))

    # ------------------------------------------------------------ judging

    def judge_tree(
        self, choices: Sequence[Path], arrays: Sequence[Array], names: Sequence[str]
    ) -> None:
        """Compare the named fields with brute force."""
        tree = PathTree.of(choices)
        fields = dict(zip(FIELDS, arrays, strict=True))
        for name in names:
            if fields[name].nested != getattr(tree, name):
                self._wrong_field(tree, name, fields[name].nested)

    def _judge_walk(
        self,
        tree: PathTree,
        arrays: Sequence[Array],
        due: Sequence[Sequence[RowVerdict]],
        why: Callable[[int, RowVerdict], str],
    ) -> None:
        """due: for each row the verdicts that are right."""
        count, nodes, following = (array.nested for array in arrays)
        for row, verdicts in enumerate(due):
            got = (count[row], nodes[row], following[row])
            if got in [(each.count, each.padded(tree.height), each.next) for each in verdicts]:
                continue
            verdict = diagnostics.nearest(verdicts, nodes[row])
            expected = (verdict.count, verdict.padded(tree.height), verdict.next)
            message = f"{_row(row, len(due))}{diagnostics.verdict_fault(got, verdict, tree)} {why(row, verdict)}"
            self.scene.broken(
                message,
                got=diagnostics.verdict_words(*got),
                expected=diagnostics.verdict_words(*expected),
            )

    def _judge_moves(
        self, moves: list[tuple[int, int]], verdicts: Sequence[RowVerdict], slots: Rows
    ) -> None:
        wanted = {
            move: (row, verdict)
            for row, verdict in enumerate(verdicts)
            for move in spec.compaction(verdict.walk, slots[row])
        }
        got, expected = diagnostics.moves(moves), diagnostics.moves(sorted(wanted))
        for src, dst in moves:
            if src == dst:
                message = f"`compact` moves slot {src} onto itself; such moves are dropped."
                self.scene.broken(
                    message, got=got, expected=expected, habit="copies what is in place"
                )
            if (src, dst) not in wanted:
                self.scene.broken(
                    f"`compact` moves slot {src} to {dst}: {diagnostics.why_not(src, dst, verdicts, slots)}.",
                    got=got,
                    expected=expected,
                )
        for src, dst in wanted:
            if (src, dst) not in moves:
                row, _ = wanted[src, dst]
                place, node = slots[row].index(dst), slots[row].index(src)
                message = (
                    f"`compact` forgets a move: accepted guess {place} of row {row} is node {node}, so its KV goes"
                    f" from slot {src} to slot {dst}."
                )
                self.scene.broken(message, got=got, expected=expected)
        if len(moves) != len(set(moves)):
            self.scene.broken("`compact` lists a move twice.", got=got, expected=expected)

    def _wrong_field(self, tree: PathTree, name: str, got: Any) -> NoReturn:
        due = getattr(tree, name)
        node = next(node for node in range(len(tree)) if got[node] != due[node])
        path = tree.paths[node]
        where = f"node {node}, the path {path}," if node else "node 0, the model's own token,"
        if name == "mask":
            other = next(
                other for other in range(len(tree)) if got[node][other] != due[node][other]
            )
            self.scene.broken(
                diagnostics.mask_fault(tree, node, other),
                got=f"mask[{node}] = {_bits(got[node])}",
                expected=_bits(due[node]),
            )
        because = {
            "parent": f"its parent is node {due[node]}" if node else "it has no parent: -1",
            "depth": f"it is {len(path)} steps below node 0; a depth is no node index",
            "rank": f"its rank is the last of its path: {due[node]}" if node else "its rank is 0",
        }[name]
        message = f"{name}[{node}] is {got[node]}: {where} has {name} {due[node]} ({because})."
        self.scene.broken(message, got=f"{name} {got}", expected=f"{name} {due}")

    def _same_tokens(
        self, tree: PathTree, got: list[int], due: list[int], row: int, topk: Sequence[Rows]
    ) -> None:
        if got == due:
            return
        node = next(node for node in range(len(tree)) if got[node] != due[node])
        path = tree.paths[node]
        if not node:
            message = f"Node 0 of row {row} proposes {got[0]}; it is the model's own token, root[{row}] = {due[0]}."
            self.scene.broken(message, got=str(got), expected=str(due))
        depth, rank = len(path), path[-1]
        found = [
            f"topk[{b}][{h}][{k}]"
            for b, heads in enumerate(topk)
            for h, guesses in enumerate(heads)
            for k, token in enumerate(guesses)
            if token == got[node]
        ]
        hint = f" You took {found[0]}." if len(found) == 1 else ""
        message = (
            f"Node {node} of row {row} proposes {got[node]}: its path is {path}, depth {depth}, so it is guess {rank}"
            f" of head {depth}, topk[{row}][{depth - 1}][{rank}] = {due[node]}.{hint}"
        )
        self.scene.broken(message, got=str(got), expected=str(due))

    # ------------------------------------------------------------ the wire

    def _given(self, tree: PathTree) -> None:
        """Say in the story which tree it is, once."""
        call = f"tree = medusa.build_tree({list(tree.paths[1:])})"
        if all(step.call != call for step in self.scene.steps):
            self.scene.tell(call, code=call)

    def _verdict(self, tree: PathTree, result: Any, rows: int) -> list[Array]:
        """count, nodes, next of a verdict, shapes and dtypes checked."""
        arrays = self.scene.named(result, ("count", "nodes", "next"), "a Verdict of tensors")
        self.scene.typed("count", arrays[0], (rows,))
        self.scene.typed("nodes", arrays[1], (rows, tree.height + 1))
        self.scene.typed("next", arrays[2], (rows,))
        return arrays


def _typical_args(
    tree: PathTree, tokens: Rows, logits: Logits, rule: TypicalRule, unrelated: int, brief: str = ""
) -> tuple[list[Any], str]:
    """What goes to the driver, and the line of the story."""
    size = len(logits[0][0]) if logits else 2
    numbers = {"temperature": rule.temperature, "epsilon": rule.epsilon, "delta": rule.delta}
    args = [
        sent_tree(tree),
        sent("int64", tokens, (len(tokens), len(tree))),
        sent("float32", logits, (len(tokens), len(tree), size)),
        {name: str(number) for name, number in numbers.items()},
        None if rule.seed is None else [rule.seed, rule.used],
        unrelated,
    ]
    values = brief or f"tokens={_cut(tokens)}, logits={_cut(logits)}"
    return args, f"verify_typical(tree, {values}, {rule})"


def _compaction_of(
    tree: PathTree, verdicts: Sequence[RowVerdict], slots: Rows
) -> tuple[list[Any], Rows, str]:
    rows, height = len(verdicts), tree.height
    count, following = (
        [verdict.count for verdict in verdicts],
        [verdict.next for verdict in verdicts],
    )
    nodes = [verdict.padded(height) for verdict in verdicts]
    verdict = [
        sent("int64", count, (rows,)),
        sent("int64", nodes, (rows, height + 1)),
        sent("int64", following, (rows,)),
    ]
    written = (
        f"compact(Verdict(count={count}, nodes={nodes}, next={following}), slots={_cut(slots)})"
    )
    return verdict, slots, written


def _shape_of_topk(tree: PathTree, topk: Sequence[Rows]) -> tuple[int, int]:
    if topk:
        return len(topk[0]), len(topk[0][0]) if topk[0] else 0
    return tree.height, max(tree.rank) + 1


def _cut(value: Any) -> str:
    return cut(str([list(row) for row in value]))


def _bits(row: Sequence[bool]) -> str:
    return "[" + " ".join("1" if bit else "." for bit in row) + "]"


def _row(row: int, rows: int) -> str:
    return f"Row {row}: " if rows > 1 else ""
