"""Trees of exercise 4 on the wire, and the Python of its calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graders.checking.wire_tensors import python_of, sent
from graders.exercises.ex4_medusa.specification import PathTree


def sent_tree(tree: PathTree) -> list[Any]:
    return [
        sent("int64", tree.parent),
        sent("int64", tree.depth),
        sent("int64", tree.rank),
        sent("bool", tree.mask),
    ]


def python(method: str, args: Sequence[Any]) -> list[str]:
    """The arguments of a call as they went over the wire, in Python; a tree is called `tree` there."""
    if method == "build_tree":
        choices = [tuple(choice) for choice in args[0]]
        return [str(tuple(choices) if args[1] == "tuple" else choices)]
    if method == "compact":
        fields = zip(("count", "nodes", "next"), args[0], strict=True)
        return [
            f"Verdict({', '.join(f'{name}={python_of(field)}' for name, field in fields)})",
            python_of(args[1]),
        ]
    words = ["tree", *map(python_of, args[1:3])]
    if method == "verify_typical":
        words += [f"{name}={value}" for name, value in args[3].items()]
        if args[4] is not None:
            words.append(f"generator=torch.Generator().manual_seed({args[4][0]})")
    return words
