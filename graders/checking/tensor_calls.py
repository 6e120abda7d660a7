"""A part that is a module of functions on tensors: each call is told, and what comes back is looked
at for its form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from graders.checking.call_recorder import CallRecorder
from graders.checking.replies import Raised, Returned, shown
from graders.checking.wire_tensors import Array, array_of, as_views

WIDEST = 400  # characters of one value in a story
NO_ROWS = "The batch is empty here, B = 0: so are the tensors that are due."


class TensorCallRecorder(CallRecorder):
    """The recorder of such a module: what the functions returned is told by name.

    NAMES: of functions that return several tensors, what the first of them are called. views: the
    tensors that are handed over are views of larger ones. Every method raises Broken where the
    contract's form is not kept.
    """

    NAMES: ClassVar[Mapping[str, Sequence[str]]] = {}
    views = False

    def code_of(self, method: str, args: Sequence[Any]) -> str:
        return f"answer = {self.label}.{method}({', '.join(self.python(method, args))})"

    def python(self, method: str, args: Sequence[Any]) -> list[str]:
        """The arguments of a call as they went over the wire, in Python."""
        raise NotImplementedError

    def load(self) -> None:
        """Take the module that the worker holds; nothing of it is told."""
        raised = self.new((), {}, "import")
        self.steps.clear()
        if raised:
            self.unexpected(raised, "a module")

    def refused(self, method: str, args: Sequence[Any], written: str, why: str) -> None:
        """A call that has to raise ValueError."""
        reply, _ = self.call(method, args, written)
        if isinstance(reply, Returned):
            message = f"`{method}` must raise ValueError: {why}."
            self.broken(message, got="no exception", expected="raises ValueError")
        if not reply.is_one_of(["ValueError"]):
            if reply.leaving or "NotImplementedError" in reply.kinds or not reply.frames:
                self.unexpected(reply, "raises ValueError")
            message = f"`{method}` raised {reply.type} where ValueError is due: {why}."
            self.broken(message, got=f"raised {reply}", expected="raises ValueError", raised=reply)

    def result(
        self, method: str, args: Sequence[Any], written: str, due: Callable[[], str], note: str = ""
    ) -> Any:
        """What it returned, as plain data; the arguments must be as they were.

        due: what is right, for who gets an exception instead. note: a sentence about the call, told
        with it.
        """
        if self.views:
            args, written = as_views(args), f"{written}, tensors that are views"
        reply, _ = self.call(method, args, written)
        if isinstance(reply, Raised):
            self.unexpected(reply, due(), note)
        value = reply.value
        if type(value) is not list or [type(item) for item in value[1:]] != [list] * 3:
            self.broken(f"`{method}` returned {shown(value)}.", got=shown(value), expected=due())
        self._own(*([shown(name).strip("'") for name in names] for names in value[1:]))
        return value[0]

    def _own(
        self, changed: Sequence[str], views: Sequence[str], overwritten: Sequence[str]
    ) -> None:
        """Broken where what is the caller's was changed, or is handed out as the part's."""
        method = self.method
        if changed:
            message = f"`{method}` changed its argument `{changed[0]}`; no function changes what it is given."
            self.broken(message, got=f"`{changed[0]}` changed", expected="everything as it was")
        if overwritten:
            message = (
                f"`{method}` changed what `{overwritten[0]}` had returned before: is one buffer "
                "used over and over?"
            )
            self.broken(
                message, got="an answer that changes later", expected="tensors of its own each time"
            )
        if views:
            message = f"`{method}` returned a view of its argument `{views[0]}`, which the caller writes over for the "
            message += "next step. Return a copy."
            self.broken(message, got=f"memory of `{views[0]}`", expected="tensors of its own")

    def arrays(self, values: Sequence[Any]) -> list[Array | None]:
        """The tensors among them; Broken if one has been tampered with."""
        return self.parsed(lambda: [array_of(value) for value in values])

    def named(self, result: Any, names: Sequence[str], expected: str) -> list[Array]:
        """The tensors of a result that has so many."""
        arrays = self.arrays(result) if type(result) is list else []
        found = [array for array in arrays if array is not None]
        if len(found) == len(arrays) == len(names):
            return found
        got = shown(result)
        if len(arrays) == len(names):
            wrong = arrays.index(None)
            got = f"{names[wrong]} {shown(result[wrong])}"
        return self.broken(
            f"`{self.method}` returned {got}; {expected} is due.", got=got, expected=expected
        )

    def one(self, result: Any, shape: tuple[int, ...], dtype: str = "int64") -> Array:
        """The tensor that was returned."""
        (array,) = self.arrays([result])
        if array is None:
            message = f"`{self.method}` returned {shown(result)}; a tensor is due."
            self.broken(message, got=shown(result), expected="a tensor")
        self.typed("the result", array, shape, dtype)
        return array

    def typed(self, name: str, array: Array, shape: tuple[int, ...], dtype: str = "int64") -> None:
        """Broken unless a tensor has this shape and dtype."""
        if array.dtype == dtype and array.shape == shape:
            return
        got = f"{array.dtype} {list(array.shape)}"
        expected = f"{dtype} {list(shape)}"
        message = f"`{self.method}`: {name} is {got}; {expected} is due."
        narrow = (array.dtype, array.shape, dtype) == ("int32", shape, "int64")
        habit = "indices of 32 bits" if narrow else ""
        self.broken(message, got=f"{name} {got}", expected=f"{name} {expected}", habit=habit)

    def _outcome_shown(self, reply: Any) -> None:
        if isinstance(reply, Raised):
            self.steps[-1].answered(f"raised {reply}")
            return
        result = reply.value[0] if type(reply.value) is list and reply.value else reply.value
        names = self.NAMES.get(self.method, ())
        arrays = (
            self.arrays(result[: len(names)])
            if names and type(result) is list
            else self.arrays([result])
        )
        if len(arrays) != len(names or (1,)) or not all(arrays):
            self.steps[-1].answered(shown(result))
            return
        words = (
            [f"{name} {array}" for name, array in zip(names, arrays, strict=True)]
            if names
            else [str(arrays[0])]
        )
        self.steps[-1].answered(cut(", ".join(words)))


def cut(text: str) -> str:
    """At most WIDEST characters of it."""
    return text if len(text) <= WIDEST else text[:WIDEST] + " …"
