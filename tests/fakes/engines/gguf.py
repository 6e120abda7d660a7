"""A stand-in for the gguf package: it remembers what was written, and saves it as JSON."""

import json
from enum import IntEnum


class LlamaFileType(IntEnum):
    ALL_F32 = 0


class GGUFWriter:
    def __init__(self, path, architecture):
        self.path, self.told, self.tensors = path, {"architecture": architecture}, {}

    def add_tensor(self, name, tensor):
        self.tensors[name] = tensor

    def __getattr__(self, name):
        def add(value=None):
            self.told[name] = value

        return add

    def write_tensors_to_file(self):
        shapes = {name: list(tensor.shape) for name, tensor in self.tensors.items()}
        with open(self.path, "w") as file:
            json.dump({**self.told, "tensors": shapes}, file, default=str)
