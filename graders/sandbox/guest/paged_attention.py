"""Driver of exercise 7 inside the worker: the kernel in Triton's interpreter, every load and store
of it looked at.

  paged_decode   a dict: sizes, tables, lengths, scale, keywords, numbers
    sizes        [blocks, block_size, query heads, KV heads, D, dtype name]
    numbers      sixteenths of q [B, Hq, D], and of the keys and values of each request [length, Hkv, D], flat
    magnitude    all of them are multiplied by it
  gives [result, names of changed arguments, loads]: loads are what the kernels read of keys and
  values.

Where "numbers" has null for keys and values, all of them are NaN, and what a kernel loads is asked
of the grader, who counts it: {"read": {"which": 0 for keys, 1 for values, "elements": of the
pool}}; the answer {"numbers": [sixteenth, or null]} lies in its place for that one load.

Whatever no request owns is NaN; entries of the tables beyond a length are as the grader says. Loads
come back as
  counts        for each request, keys and values: how often each position's row of each KV head was read, flat, the
                most of any column
  least         the same, the least of any column
  strays        [tensor, block, slot, head, request for which it was read (-1: unknown), program] beyond a request's own
  outside       [does, tensor, element, program]: it lay in no tensor the kernel was given, was meant for that one
                perhaps, and was not executed
  programs      for each request and KV head: how many keys each program read that read any
  tails         [tensor, block, slot, columns] of slots read in owned blocks, beyond the length: so many of its columns
  stored        how many numbers the kernels wrote
  unsaid        how many numbers masked loads left out without an `other`: on a GPU they are undefined, here NaN
  narrow        the largest product that was computed in int32
A request's program is known by the row of q or of the tables that it read last.
"""

import contextlib
import functools
import inspect
import linecache
import os

os.environ["TRITON_INTERPRET"] = "1"  # before triton is imported

import numpy as np
import torch
import triton.language as tl
import triton.runtime.interpreter as inner

from .tensors import LoadedPart, copied, plain_tensor, same

torch.set_num_threads(1)
MOST = 6  # strays that are told
NAN = float("nan")
NAMES = ("k", "v", "q", "tables", "lengths")
NAN_WORDS = {  # NaN in arrays of the interpreter, and their dtype, by Triton's name of it
    "fp64": (NAN, "float64"),
    "fp32": (NAN, "float32"),
    "fp16": (NAN, "float16"),
    "bf16": (0x7FC0, "uint16"),
}
PRODUCTS = (np.multiply, np.left_shift)
PATCH, BEGIN = "_patch_lang", "_init_args_hst"  # of the interpreter, which has no other door


def new(worker_parts, args, keywords):
    module = worker_parts.parts["paged_attention"]
    text = worker_parts.texts["paged_attention"]
    linecache.cache[module.__file__] = (len(text), None, text.splitlines(True), module.__file__)
    return LoadedPart(module, worker_parts.parts, worker_parts.line)


def watch(worker_parts, part, wanted):
    return None


def call(part, method, args):
    given = Given(**args[0])
    before = {name: copied(value) for name, value in given.tensors.items()}
    observed, result = Observed(given, part.line), None
    with observed:
        try:
            result = getattr(part.module, method)(
                *given.tensors.values(), given.scale, **given.keywords
            )
        except inner.InterpreterError as error:
            raise cause(error) from None
    changed = [name for name, was in before.items() if not same(given.tensors[name], was)]
    return [plain_tensor(result), changed, observed.told()]


def cause(error):
    """What was raised in a kernel, of which the interpreter says only the words."""
    while isinstance(error, inner.InterpreterError) and error.__cause__ is not None:
        error = error.__cause__
    return error


class Given:
    """The tensors of a call."""

    def __init__(self, sizes, tables, lengths, scale, keywords, numbers, magnitude):
        blocks, self.block_size, heads, self.kv_heads, width, dtype = sizes
        kind = getattr(torch, dtype)
        shape = (blocks, self.block_size, self.kv_heads, width)
        self.lengths, self.tables, self.scale, self.keywords = lengths, tables, scale, keywords
        self.own = [
            table[: -(-length // self.block_size)]
            for table, length in zip(tables, lengths, strict=True)
        ]
        self.places = {
            (table[position // self.block_size], position % self.block_size)
            for table, length in zip(tables, lengths, strict=True)
            for position in range(length)
        }
        q, keys, values = numbers
        self.lent, self.magnitude, pools = keys is None, magnitude, []
        for rows in (keys, values):
            pool = torch.full(shape, NAN, dtype=kind)
            for table, length, flat in (
                zip(tables, lengths, rows, strict=True) if rows is not None else ()
            ):
                for position, row in enumerate(
                    _scaled(flat, magnitude, kind).reshape(length, self.kv_heads, width)
                ):
                    pool[table[position // self.block_size], position % self.block_size] = row
            pools.append(pool)
        self.tensors = {
            "q": _scaled(q, magnitude, kind).reshape(len(lengths), heads, width),
            "k": pools[0],
            "v": pools[1],
            "tables": torch.tensor(tables, dtype=torch.int32).reshape(
                len(lengths), len(tables[0]) if tables else 1
            ),
            "lengths": torch.tensor(lengths, dtype=torch.int32),
        }

    def put(self, name, elements, numbers):
        """Sixteenths, None for NaN, at these elements of a pool."""
        flat = [NAN if number is None else number for number in numbers]
        self.tensors[name].view(-1)[torch.from_numpy(elements)] = _scaled(
            flat, self.magnitude, self.tensors[name].dtype
        )


def _scaled(flat, magnitude, kind):
    return (torch.tensor(flat, dtype=torch.float64) / 16 * magnitude).to(kind)


class Outside(Exception):
    """A load or store of an address in no tensor that the kernel was given."""


class Observed:
    """While it is entered, what kernels load is counted. One launch at a time. line: to the grader."""

    def __init__(self, given, line=None):
        self.given, self.line = given, line
        self.counts = {
            name: np.zeros(given.tensors[name].shape, dtype=np.int32) for name in ("k", "v")
        }
        self.readers = {}  # (block, slot, head) of keys -> programs
        self.strays, self.outside, self.tails = [], [], {}
        self.stored = self.unsaid = self.narrow = 0
        self.serving = -1
        self.launched = []  # (begin, end) in bytes of what the kernel was given
        self.undo = []

    def __enter__(self):
        scopes = {}
        builder, executor = inner.InterpreterBuilder, inner.GridExecutor
        patch, begin = getattr(inner, PATCH), getattr(executor, BEGIN)
        load, store = builder.create_masked_load, builder.create_masked_store
        place, compute = builder.set_grid_idx, builder.binary_op

        def patched(function):
            """Once for a set of modules, not for every call of a function of the library."""
            found = (value for value in function.__globals__.values() if inspect.ismodule(value))
            key = frozenset(id(value) for value in found if value in (tl, tl.core))
            if key not in scopes:
                scopes[key] = patch(function)
                self.undo.append(scopes[key].restore)
            return Kept

        def loaded(builder, ptrs, mask, other, *more):
            with self.lent(self.look(ptrs, mask, "reads")):
                said = self.undefined(ptrs, mask) if other is None else other
                return load(builder, ptrs, mask, said, *more)

        def stored(builder, ptrs, value, mask, *more):
            self.look(ptrs, mask, "writes")
            return store(builder, ptrs, value, mask, *more)

        def computed(builder, lhs, rhs, op):
            result = compute(builder, lhs, rhs, op)
            numbers = result.data
            if op in PRODUCTS and numbers.dtype == np.int32 and numbers.size:
                self.narrow = max(self.narrow, int(numbers.max()), -int(numbers.min()))
            return result

        def began(executor, args, keywords):
            host = begin(executor, args, keywords)
            tensors = [
                each for each in (*host[0], *host[1].values()) if isinstance(each, torch.Tensor)
            ]
            storages = [each.untyped_storage() for each in tensors]
            self.launched = [
                (each.data_ptr(), each.data_ptr() + each.nbytes()) for each in storages
            ]
            return host

        def placed(builder, *index):
            self.serving = -1
            place(builder, *index)

        changes = (
            (inner, PATCH, patched),
            (builder, "create_masked_load", loaded),
            (builder, "create_masked_store", stored),
            (builder, "set_grid_idx", placed),
            (builder, "binary_op", computed),
            (executor, BEGIN, began),
        )
        for home, name, value in changes:
            self.undo.append(functools.partial(setattr, home, name, getattr(home, name)))
            setattr(home, name, value)
        self.quiet = np.errstate(all="ignore")
        self.quiet.__enter__()
        return self

    def __exit__(self, kind, error, trace):
        self.quiet.__exit__(None, None, None)
        for back in reversed(self.undo):
            back()
        return bool(self.outside) and error is not None  # it is told, with what it came to

    @contextlib.contextmanager
    def lent(self, wanted):
        """What the grader has of these elements lies in the pools meanwhile, where it keeps them."""
        asked = wanted if self.given.lent else []
        for name, elements in asked:
            told = self.line.ask(
                {"read": {"which": int(name == "v"), "elements": elements.tolist()}}
            )
            self.given.put(name, elements, told["numbers"])
        yield
        for name, elements in asked:
            self.given.put(name, elements, [None] * len(elements))

    def undefined(self, ptrs, mask):
        """What a load puts where it is masked and was told nothing; None where the interpreter's 0
        will do."""
        kind = ptrs.get_element_ty()
        left_out = ptrs.data.size - np.count_nonzero(np.broadcast_to(mask.data, ptrs.data.shape))
        if not left_out or kind.name not in NAN_WORDS:
            return None
        self.unsaid += int(left_out)
        return inner.TensorHandle(np.full(ptrs.data.shape, *NAN_WORDS[kind.name]), kind)

    def look(self, ptrs, mask, does):
        """Note one load or store of many addresses; the elements of keys and of values among them,
        by name."""
        width = max(1, ptrs.get_element_ty().primitive_bitwidth // 8)
        addresses = np.atleast_1d(ptrs.data)[
            np.broadcast_to(np.atleast_1d(mask.data), np.atleast_1d(ptrs.data).shape)
        ]
        addresses = addresses.reshape(-1).astype(np.int64)
        if not len(addresses):
            return []
        within = np.zeros(len(addresses), dtype=bool)
        for begin, end in self.launched:
            within |= (addresses >= begin) & (addresses + width <= end)
        if not within.all():
            self.outside.append([does, *self._meant(int(addresses[~within][0])), *self._program()])
            raise Outside("an address in no tensor")
        self.stored += len(addresses) if does == "writes" else 0
        wanted = []
        for name in NAMES:
            tensor = self.given.tensors[name]
            begin = tensor.data_ptr()
            inside = (addresses >= begin) & (addresses < begin + tensor.nbytes)
            if inside.any():
                elements = (addresses[inside] - begin) // tensor.element_size()
                self._note(name, does, elements)
                wanted += [(name, elements)] if name in self.counts else []
        return wanted

    def _note(self, name, does, elements):
        shape = self.given.tensors[name].shape
        if does == "writes":
            return  # the arguments are compared afterwards
        if name in ("q", "tables"):
            rows = np.unique(elements // int(np.prod(shape[1:])))
            self.serving = int(rows[0]) if len(rows) == 1 else -1
        elif name in self.counts:
            np.add.at(self.counts[name].reshape(-1), elements, 1)
            self._judge(name, elements // shape[3], elements % shape[3])

    def _judge(self, name, cells, columns):
        """cells: of [blocks, block_size, Hkv], each with a column."""
        heads, size = self.given.kv_heads, self.given.block_size
        for cell in np.unique(cells).tolist():
            block, slot, head = cell // (heads * size), cell // heads % size, cell % heads
            owner = self.serving
            owned = (
                self.given.own[owner]
                if owner >= 0
                else [each for own in self.given.own for each in own]
            )
            if block not in owned and len(self.strays) < MOST:
                self.strays.append([name, block, slot, head, owner, *self._program()])
            elif block in owned and (block, slot) not in self.given.places:
                last = int(columns[cells == cell].max()) + 1
                self.tails[name, block, slot] = max(last, self.tails.get((name, block, slot), 0))
            if name == "k":
                self.readers.setdefault((block, slot, head), set()).add(self._program())

    def _program(self):
        return tuple(int(index) for index in inner.interpreter_builder.grid_idx)

    def _meant(self, address):
        """The tensor that it was meant to lie in, and which element of it: the pool in which it is
        a block that a table names, else that of our tensors which is nearest."""
        far, named = {}, {entry for table in self.given.tables for entry in table}
        for name in NAMES:
            tensor = self.given.tensors[name]
            begin, end = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
            block = (
                (address - begin) // (tensor.nbytes // len(tensor)) if name in self.counts else None
            )
            far[name] = -1 if block in named else max(begin - address, address - end, 0)
        name = min(far, key=lambda name: far[name])
        tensor = self.given.tensors[name]
        return name, (address - tensor.data_ptr()) // tensor.element_size()

    def told(self):
        """As lists, for the wire."""
        counts: list = []
        least: list = []
        programs: list = []
        size = self.given.block_size
        for table, length in zip(self.given.tables, self.given.lengths, strict=True):
            places = [(table[position // size], position % size) for position in range(length)]
            per_head = []
            for head in range(self.given.kv_heads):
                shares: dict = {}
                for block, slot in places:
                    for program in self.readers.get((block, slot, head), ()):
                        shares[program] = shares.get(program, 0) + 1
                per_head.append(sorted(shares.values()))
            programs.append(per_head)
            for to, reduced in ((counts, np.max), (least, np.min)):
                rows = [
                    [reduced(self.counts[name][place], axis=-1) for place in places]
                    for name in ("k", "v")
                ]
                to.append([np.array(each, dtype=int).reshape(-1).tolist() for each in rows])
        outside = [
            [does, name, element, list(program)] for does, name, element, *program in self.outside
        ]
        strays = [[*stray[:5], list(stray[5:])] for stray in self.strays]
        tails = [[*place, columns] for place, columns in list(self.tails.items())[:MOST]]
        return [
            counts,
            least,
            strays,
            outside,
            programs,
            tails,
            self.stored,
            self.unsaid,
            self.narrow,
        ]


class Kept:
    """Stands in for a scope: what was patched is restored when the call is over."""

    @staticmethod
    def restore():
        return None
