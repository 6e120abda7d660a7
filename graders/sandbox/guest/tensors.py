"""Tensors between the wire and a part that is a module of functions: how they come, go, and are
seen to be unchanged.

A tensor crosses as [dtype name, shape, flat items], and True behind them for one that is a view of
a larger one; items that JSON has no number for are texts: "nan", "inf", "-inf".
"""

import math

import torch

# before a part can change them
_clone, _equal, _filled = torch.Tensor.clone, torch.equal, torch.Tensor.nan_to_num


class LoadedPart:
    """The object that calls are made on: the loaded module, all parts that the worker holds, its
    line to the grader."""

    def __init__(self, module, parts, line=None):
        self.module = module
        self.parts = parts
        self.line = line
        self.earlier = []  # (function, tensor that it returned, what was in it) of the last call


def call(forms, part, method, args):
    """Call `method` of the module; [result, changed arguments, those that the result is a view of,
    changed answers].

    forms: for each method how the arguments come (a dict by name; "keywords" are given by name) and
    how a result goes.
    """
    found = getattr(part.module, method)
    unpack, pack = forms[method]
    given = unpack(*args)
    keywords = given.pop("keywords", {})
    before = {name: copied(value) for name, value in given.items()}
    answer = found(*given.values(), **keywords)
    result = pack(answer)
    changed = [name for name, was in before.items() if not same(given[name], was)]
    overwritten = [name for name, each, was in part.earlier if not same(each, was)]
    part.earlier = [(method, each, copied(each)) for each in _tensors(answer)]
    kept = {_memory(each) for _, each, _ in part.earlier} - {0}
    views = [
        name for name, value in given.items() if kept & {_memory(each) for each in _tensors(value)}
    ]
    return [result, changed, views, overwritten[:1]]


def _tensors(value):
    """Those that it is, or that are its fields or items."""
    if hasattr(value, "__dataclass_fields__"):
        value = [getattr(value, name) for name in value.__dataclass_fields__]
    items = value if type(value) in (list, tuple) else [value]
    return [item for item in items if type(item) is torch.Tensor]


def _memory(each):
    """Where its numbers lie; 0 if it has none."""
    return each.untyped_storage().data_ptr() if each.numel() else 0


def tensor(data):
    dtype, shape, items, *view = data
    items = [float(item) for item in items] if dtype.startswith("float") else items
    made = torch.tensor(items, dtype=getattr(torch, dtype)).reshape(shape)
    return torch.cat([made] * 2, -1)[..., : shape[-1]] if view else made


def plain_tensor(value):
    """The tensor as data; anything else as it is (the wire names its type)."""
    if type(value) is not torch.Tensor:
        return value
    items = value.detach().reshape(-1).tolist()
    if value.dtype.is_floating_point:
        items = [item if math.isfinite(item) else str(item) for item in items]
    return [str(value.dtype).removeprefix("torch."), list(value.shape), items]


def plain_tensors(values):
    """The items of a tuple or list as data; anything else as it is."""
    return [plain_tensor(item) for item in values] if type(values) in (tuple, list) else values


def copied(value):
    if type(value) is torch.Tensor:
        return _clone(value)
    if hasattr(value, "__dataclass_fields__"):
        return {name: copied(getattr(value, name)) for name in value.__dataclass_fields__}
    return list(value) if type(value) is list else value


def same(value, was):
    if type(was) is torch.Tensor:
        return value.shape == was.shape and _equal(_filled(value, nan=7e7), _filled(was, nan=7e7))
    if type(was) is dict:
        return all(same(getattr(value, name), old) for name, old in was.items())
    return value == was
