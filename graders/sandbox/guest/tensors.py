"""Tensors between the wire and a part that is a module of functions: how they come, go, and are seen to be unchanged.

A tensor crosses as [dtype name, shape, flat items]; items that JSON has no number for are texts: "nan", "inf", "-inf".
"""

import math

import torch

_clone, _equal, _filled = torch.Tensor.clone, torch.equal, torch.Tensor.nan_to_num  # before a part can change them


class LoadedPart:
    """The object that calls are made on: the loaded module, and all parts that the worker holds."""

    def __init__(self, module, parts):
        self.module = module
        self.parts = parts


def call(forms, module, method, args):
    """Call `method` of the module; [result, names of changed arguments].

    forms: for each method how the arguments come (a dict by name; "keywords" are given by name) and how a result goes.
    """
    found = getattr(module, method)
    unpack, pack = forms[method]
    given = unpack(*args)
    keywords = given.pop("keywords", {})
    before = {name: copied(value) for name, value in given.items()}
    result = pack(found(*given.values(), **keywords))
    changed = [name for name, was in before.items() if not same(given[name], was)]
    return [result, changed]


def tensor(data):
    dtype, shape, items = data
    items = [float(item) for item in items] if dtype.startswith("float") else items
    return torch.tensor(items, dtype=getattr(torch, dtype)).reshape(shape)


def plain_tensor(value):
    """The tensor as data; anything else as it is (the wire names its type)."""
    if type(value) is not torch.Tensor:
        return value
    items = value.detach().reshape(-1).tolist()
    if value.dtype.is_floating_point:
        items = [item if math.isfinite(item) else str(item) for item in items]
    return [str(value.dtype).removeprefix("torch."), list(value.shape), items]


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
