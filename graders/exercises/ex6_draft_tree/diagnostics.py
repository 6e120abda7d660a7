"""What is wrong with an answer, in words for the person who wrote the part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graders.exercises.ex6_draft_tree.specification import ROOT, Node, RowGrowth


@dataclass(frozen=True, slots=True)
class Guesses:
    """What `grow` was given for a row. count: candidates before."""

    count: int
    chosen: Sequence[int]
    tokens: Sequence[Sequence[int]]
    logs: Sequence[Sequence[float]]

    def place(self, index: int) -> tuple[int, int]:
        """w and k of a new candidate."""
        return divmod(index - self.count, len(self.tokens[0]))


def of_row(row: int, rows: int, message: str) -> str:
    """The message, told of a row where there are several."""
    return f"Row {row}: {message[0].lower()}{message[1:]}" if rows > 1 else message


def named(index: int) -> str:
    """ "candidate 3", "the root"."""
    return "the root" if index == ROOT else f"candidate {index}"


def frontier_fault(row: RowGrowth, depth: int, got: Sequence[int], due: Sequence[int]) -> str:
    """One sentence: in what the frontier is wrong."""
    place = next(place for place in range(len(due)) if got[place] != due[place])
    mine, right = got[place], due[place]
    if not 0 <= mine < len(row):
        return f"`frontier` names candidate {mine}; there are {len(row)}, from 0 on."
    if row[mine].depth != depth:
        return f"`frontier` names candidate {mine}, whose depth is {row[mine].depth}; depth {depth} was asked for."
    if mine in got[:place]:
        return f"`frontier` names candidate {mine} twice."
    if row[mine].value == row[right].value:
        return (
            f"Candidates {right} and {mine} have the same value {row[mine].value}; the lower index comes first, and"
            f" `frontier` has {mine} in place {place}."
        )
    return (
        f"`frontier` has candidate {mine} (value {row[mine].value}) in place {place}, where candidate {right} (value"
        f" {row[right].value}) belongs: the highest value comes first."
    )


def growth_fault(name: str, got: Sequence[Any], due: RowGrowth, given: Guesses) -> str:
    """One sentence: what is wrong with a field of the growth that came back."""
    index = next(index for index, each in enumerate(due) if got[index] != getattr(each, name))
    mine, right = got[index], getattr(due[index], name)
    if index < given.count:
        return f"{name} of candidate {index} was {right} before `grow` and is {mine} after it; it only appends."
    w, k = given.place(index)
    above = given.chosen[w]
    who = f"Candidate {index} has {name} {mine}: it is guess {k} after chosen[{w}], {named(above)},"
    if name == "token":
        return f"{who} so topk_token[{w}][{k}] = {right} is due.{_taken(mine, given)}"
    if name == "parent":
        return f"{who} which is its parent: {right} is due."
    if name == "depth":
        from_root = (
            "so 1 is due" if above == ROOT else f"whose depth is {right - 1}: {right} is due"
        )
        return f"{who} {from_root}."
    log = given.logs[w][k]
    base = "whose value is 0" if above == ROOT else f"whose value is {due[above].value}"
    return f"{who} {base}; with its topk_logprob {log} that makes {right}."


def _taken(token: Any, given: Guesses) -> str:
    """From where a token was taken instead, if only one place has it."""
    found = [
        (w, k)
        for w, line in enumerate(given.tokens)
        for k, each in enumerate(line)
        if each == token
    ]
    return f" You took topk_token[{found[0][0]}][{found[0][1]}]." if len(found) == 1 else ""


def kept_fault(row: RowGrowth, got: Sequence[int], nodes: Sequence[Node]) -> str:
    """One sentence: what is wrong with the tokens of the nodes, hence with what was kept, or with
    its order."""
    node = next(node for node, each in enumerate(nodes) if got[node] != each.token)
    if not node:
        return f"Node 0 has token {got[0]}; it is the root, token {nodes[0].token}."
    right = nodes[node].candidate
    which = [index for index, each in enumerate(row) if each.token == got[node]]
    due = f"candidate {right} (depth {row[right].depth}, value {row[right].value})"
    if len(which) != 1:
        return f"Node {node} has token {got[node]}; it is {due}, token {row[right].token}."
    mine = which[0]
    here = f"candidate {mine} (depth {row[mine].depth}, value {row[mine].value})"
    if mine not in [each.candidate for each in nodes]:
        lost = _better(row, got, nodes, mine)
        return f"`rerank` keeps {here}, and lets go {lost}."
    if sorted(got) == sorted(each.token for each in nodes):
        return f"Node {node} is {here}, where {due} belongs: nodes are sorted by (depth, creation)."
    return f"Node {node} is {here}, where {due} belongs."


def _better(row: RowGrowth, got: Sequence[int], nodes: Sequence[Node], mine: int) -> str:
    """The first kept candidate that is not there, and why it comes before `mine`."""
    lost = next(
        (each.candidate for each in nodes[1:] if each.token not in got), nodes[-1].candidate
    )
    told = f"candidate {lost} (depth {row[lost].depth}, value {row[lost].value})"
    if row[lost].value == row[mine].value:
        return f"{told}, whose value is the same and whose index is lower"
    return f"{told}, whose value is higher"


def node_fault(name: str, got: Sequence[int], row: RowGrowth, nodes: Sequence[Node]) -> str:
    """One sentence: what is wrong with parents or depths."""
    node = next(node for node, each in enumerate(nodes) if got[node] != getattr(each, name))
    mine, each = got[node], nodes[node]
    if name == "depth":
        due = (
            "the root, depth 0" if not node else f"candidate {each.candidate} of depth {each.depth}"
        )
        return f"depth[{node}] is {mine}: node {node} is {due}."
    if not node:
        return f"parent[0] is {mine}: the root has none, -1."
    above = row[each.candidate].parent
    why = f"its parent is {named(above)}, which is node {each.parent}"
    number = " Parents are node numbers, no candidates'." if mine == above else ""
    return (
        f"parent[{node}] is {mine}: node {node} is candidate {each.candidate}, and {why}.{number}"
    )


def mask_fault(nodes: Sequence[Node], node: int, other: int) -> str:
    """One sentence: who sees, or does not see, whom."""
    if other == node:
        return f"Node {node} does not see itself: mask[{node}][{node}] is False."
    if other in nodes[node].sees:
        kin = "node 0, the root" if not other else f"its ancestor {other}"
        return f"Node {node} does not see {kin}: mask[{node}][{other}] is False."
    if node in nodes[other].sees:
        return f"Node {node} sees its descendant {other}: mask[{node}][{other}] is True. Rows look, columns are seen."
    kin = "its sibling" if nodes[node].parent == nodes[other].parent else "on another branch, node"
    return f"Node {node} sees {kin} {other}: mask[{node}][{other}] is True; they are different futures."
