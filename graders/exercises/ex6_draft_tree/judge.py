"""One draft_tree module under test: every call is made, told, and compared with the specification,
row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from graders.checking.check_context import CheckContext
from graders.checking.tensor_calls import NO_ROWS, TensorCallRecorder, cut
from graders.checking.wire_tensors import Array, python_of, sent
from graders.exercises.ex6_draft_tree import diagnostics
from graders.exercises.ex6_draft_tree import specification as spec
from graders.exercises.ex6_draft_tree.specification import Candidate, RowGrowth

IMPORTS = "from math import inf\n\nimport draft_tree\nimport torch\nfrom reference_engine.slots import Growth\n"
GROWTH = ("token", "parent", "depth", "value")
TREE = ("token", "parent", "depth", "mask")
Rows = Sequence[Sequence[Any]]
NOTHING_GREW = (
    "Nothing has grown yet here, M = 0: what is chosen is the root, whose depth and value are 0."
)


class DraftTreeRecorder(TensorCallRecorder):
    """The recorder of exercise 6: what `grow` and `rerank` returned is told by name."""

    NAMES: ClassVar[Mapping[str, Sequence[str]]] = {"grow": GROWTH, "rerank": TREE[:3]}

    def python(self, method: str, args: Sequence[Any]) -> list[str]:
        return [
            "growth",
            *(python_of(each) if type(each) is list else str(each) for each in args[1:]),
        ]


class DraftTreeJudge:
    """The three functions, each called on the part and judged; the first deviation raises Broken.

    dtype: of the values. Rows of a batch are given as lists of candidates, all of the same length.
    """

    def __init__(self, context: CheckContext, dtype: str = "float32") -> None:
        self.scene = DraftTreeRecorder(context, "draft_tree", "draft_tree", IMPORTS)
        self.scene.load()
        self.dtype = dtype
        self._growth: list[Any] = []  # the one that was told last

    # ------------------------------------------------------------ the calls, judged

    def frontier(self, rows: Sequence[RowGrowth], depth: int, width: int) -> list[list[int]]:
        """The indices, which are right."""
        got = self.frontier_raw(rows, depth, width)
        for row, (growth, indices) in enumerate(zip(rows, got, strict=True)):
            due = spec.frontier(growth, depth, width)
            if indices != due:
                message = diagnostics.frontier_fault(growth, depth, indices, due)
                self.scene.broken(
                    diagnostics.of_row(row, len(rows), message), got=str(indices), expected=str(due)
                )
        return got

    def grow(
        self,
        rows: Sequence[RowGrowth],
        chosen: Rows,
        tokens: Rows,
        logs: Rows,
        names: Sequence[str] = GROWTH,
    ) -> list[RowGrowth]:
        """The rows grown; the named fields of what came back are right."""
        fields = self.grow_raw(rows, chosen, tokens, logs)
        due = [spec.grown(*each) for each in zip(rows, chosen, tokens, logs, strict=True)]
        for row, (before, right) in enumerate(zip(rows, due, strict=True)):
            given = diagnostics.Guesses(len(before), chosen[row], tokens[row], logs[row])
            for name, array in zip(GROWTH, fields, strict=True):
                got, wanted = array.nested[row], [getattr(each, name) for each in right]
                if name in names and got != wanted:
                    message = diagnostics.growth_fault(name, got, right, given)
                    message = diagnostics.of_row(row, len(rows), message)
                    self.scene.broken(message, got=f"{name} {got}", expected=f"{name} {wanted}")
        return due

    def rerank(
        self,
        rows: Sequence[RowGrowth],
        roots: Sequence[int],
        size: int,
        names: Sequence[str] = TREE,
    ) -> list[list[spec.Node]]:
        """The trees, the named fields judged. The mask is looked at last."""
        fields = dict(zip(TREE, self.rerank_raw(rows, roots, size), strict=True))
        due = [spec.tree(growth, root, size) for growth, root in zip(rows, roots, strict=True)]
        for row, (growth, nodes) in enumerate(zip(rows, due, strict=True)):
            if "token" in names:
                self._kept(row, rows, nodes, fields["token"].nested[row])
            for name in ("parent", "depth"):
                got, wanted = fields[name].nested[row], [getattr(node, name) for node in nodes]
                if name in names and got != wanted:
                    message = diagnostics.of_row(
                        row, len(rows), diagnostics.node_fault(name, got, growth, nodes)
                    )
                    self.scene.broken(message, got=f"{name} {got}", expected=f"{name} {wanted}")
            if "mask" in names:
                self._sees(row, len(rows), nodes, fields["mask"].nested[row])
        return due

    def refused(self, method: str, args: Sequence[Any], why: str) -> None:
        """A call that has to raise ValueError. args: as the judge's own methods take them."""
        sending, written = getattr(self, f"{method}_call")(*args)
        self.scene.refused(method, sending, written, why)

    # ------------------------------------------------------------ the calls, judged for form alone

    def frontier_raw(self, rows: Sequence[RowGrowth], depth: int, width: int) -> list[list[int]]:
        args, written = self.frontier_call(rows, depth, width)
        result = self.scene.result(
            "frontier",
            args,
            written,
            lambda: str([spec.frontier(row, depth, width) for row in rows]),
            NO_ROWS if not rows else "",
        )
        indices: list[list[int]] = self.scene.one(result, (len(rows), width)).nested
        return indices

    def grow_raw(
        self, rows: Sequence[RowGrowth], chosen: Rows, tokens: Rows, logs: Rows
    ) -> list[Array]:
        """token, parent, depth, value."""
        args, written = self.grow_call(rows, chosen, tokens, logs)

        def due() -> str:
            return _told(
                GROWTH, [spec.grown(*each) for each in zip(rows, chosen, tokens, logs, strict=True)]
            )

        result = self.scene.result("grow", args, written, due, _about(rows))
        fields = self.scene.named(result, GROWTH, "a Growth of tensors")
        _, width, guesses = args[2][1]
        shape = (len(rows), args[0][0][1][1] + width * guesses)
        for name, array in zip(GROWTH, fields, strict=True):
            self.scene.typed(name, array, shape, self.dtype if name == "value" else "int64")
        return [*fields[:3], replace(fields[3], items=[_number(item) for item in fields[3].items])]

    def rerank_raw(self, rows: Sequence[RowGrowth], roots: Sequence[int], size: int) -> list[Array]:
        """token, parent, depth, mask."""
        args, written = self.rerank_call(rows, roots, size)

        def due() -> str:
            return _told(
                TREE[:3], [spec.tree(*each, size) for each in zip(rows, roots, strict=True)]
            )

        result = self.scene.result("rerank", args, written, due, NO_ROWS if not rows else "")
        fields = self.scene.named(result, TREE, "a DraftTree of tensors")
        for name, array in zip(TREE, fields, strict=True):
            shape = (len(rows), size, size) if name == "mask" else (len(rows), size)
            self.scene.typed(name, array, shape, "bool" if name == "mask" else "int64")
        return fields

    # ------------------------------------------------------------ what goes over the wire

    def frontier_call(
        self, rows: Sequence[RowGrowth], depth: int, width: int
    ) -> tuple[list[Any], str]:
        return [self._given(rows), depth, width], f"frontier(growth, depth={depth}, width={width})"

    def grow_call(
        self,
        rows: Sequence[RowGrowth],
        chosen: Rows,
        tokens: Rows,
        logs: Rows,
        shape: tuple[int, int] = (2, 3),
    ) -> tuple[list[Any], str]:
        """shape: W and K of a batch of no rows."""
        width, guesses = (len(tokens[0]), len(tokens[0][0])) if tokens else shape
        wide = (len(rows), width, guesses)
        args = [
            self._given(rows),
            sent("int64", chosen, (len(rows), width)),
            sent("int64", tokens, wide),
            sent(self.dtype, logs, wide),
        ]
        return args, f"grow(growth, chosen={chosen}, topk_token={tokens}, topk_logprob={logs})"

    def rerank_call(
        self, rows: Sequence[RowGrowth], roots: Sequence[int], size: int
    ) -> tuple[list[Any], str]:
        args = [self._given(rows), sent("int64", roots, (len(rows),)), size]
        return args, f"rerank(growth, root={list(roots)}, size={size})"

    def _given(self, rows: Sequence[RowGrowth], count: int = 6) -> list[Any]:
        """The growth as it goes over the wire, told in the story. count: candidates of a batch of
        no rows."""
        shape = (len(rows), len(rows[0]) if rows else count)
        fields = [
            sent(
                self.dtype if name == "value" else "int64",
                [[getattr(each, name) for each in row] for row in rows],
                shape,
            )
            for name in GROWTH
        ]
        told = ", ".join(
            f"{name}={[[getattr(each, name) for each in row] for row in rows]}" for name in GROWTH
        )
        code = ", ".join(
            f"{name}={python_of(field)}" for name, field in zip(GROWTH, fields, strict=True)
        )
        if fields != self._growth:
            self._growth = fields
            self.scene.tell(f"growth = Growth({told})", code=f"growth = Growth({code})")
        return fields

    # ------------------------------------------------------------ judging

    def _kept(
        self, row: int, rows: Sequence[RowGrowth], nodes: Sequence[spec.Node], got: Sequence[int]
    ) -> None:
        wanted = [node.token for node in nodes]
        if list(got) != wanted:
            message = diagnostics.of_row(
                row, len(rows), diagnostics.kept_fault(rows[row], got, nodes)
            )
            self.scene.broken(message, got=f"token {list(got)}", expected=f"token {wanted}")

    def _sees(
        self, row: int, rows: int, nodes: Sequence[spec.Node], got: Sequence[Sequence[bool]]
    ) -> None:
        for node, each in enumerate(nodes):
            due = [other in each.sees for other in range(len(nodes))]
            if list(got[node]) != due:
                other = next(other for other in range(len(nodes)) if got[node][other] != due[other])
                message = diagnostics.of_row(row, rows, diagnostics.mask_fault(nodes, node, other))
                self.scene.broken(
                    message, got=f"mask[{node}] = {_bits(got[node])}", expected=_bits(due)
                )


def _number(item: Any) -> float:
    """An item of a tensor of floats; what JSON has no number for comes as a text."""
    return float(item["s"]) if type(item) is dict else float(item)


def _told(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Fields of what is due, as the story tells those of an answer."""
    return cut(
        ", ".join(
            f"{name} {[[getattr(each, name) for each in row] for row in rows]}" for name in names
        )
    )


def _about(rows: Sequence[RowGrowth]) -> str:
    return NO_ROWS if not rows else "" if rows[0] else NOTHING_GREW


def _bits(row: Sequence[bool]) -> str:
    return "[" + " ".join("1" if bit else "." for bit in row) + "]"


def candidates(fields: Sequence[Array]) -> list[RowGrowth]:
    """The rows of a growth as a part returned it."""
    columns = [array.nested for array in fields]
    return [
        [Candidate(*each) for each in zip(*row, strict=True)] for row in zip(*columns, strict=True)
    ]
