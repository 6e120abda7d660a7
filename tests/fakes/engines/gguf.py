"""A stand-in for the gguf package: it remembers what was written, and saves it as JSON."""

import json
from enum import IntEnum
from types import SimpleNamespace


class LlamaFileType(IntEnum):
    ALL_F32 = 0
    MOSTLY_Q8_0 = 7
    MOSTLY_BF16 = 32


class GGMLQuantizationType(IntEnum):
    F32 = 0
    Q8_0 = 8
    BF16 = 30


quants = SimpleNamespace(quantize=lambda tensor, kind: tensor)


class GGUFWriter:
    def __init__(self, path, architecture):
        self.path, self.told, self.tensors, self.kinds = (
            path,
            {"architecture": architecture},
            {},
            {},
        )

    def add_tensor(self, name, tensor, raw_dtype=None):
        self.tensors[name], self.kinds[name] = tensor, raw_dtype.name

    def __getattr__(self, name):
        def add(value=None):
            self.told[name] = value

        return add

    def write_tensors_to_file(self):
        shapes = {name: list(tensor.shape) for name, tensor in self.tensors.items()}
        with open(self.path, "w") as file:
            json.dump({**self.told, "tensors": shapes, "kinds": self.kinds}, file, default=str)
