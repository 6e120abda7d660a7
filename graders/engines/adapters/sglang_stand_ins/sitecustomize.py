"""Empty stand-ins for what SGLang imports but does not call on its CPU fallback path: its CUDA
kernels, torchvision.

Python imports this file by itself in every process that has its folder on the path, SGLang's own
children included.
"""

import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import Any

NAMES = ("sgl_kernel", "torchvision")


class Nothing(type):
    """A class that has every attribute, and cannot be made."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing(name, (), {})

    def __call__(cls, *arguments: Any, **keywords: Any) -> Any:
        raise NotImplementedError(
            f"{cls.__name__} is a stand-in: this path needs a package that has no CPU build"
        )


class Empty(ModuleType):
    """A module that has every name."""

    __version__ = "9999"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing(name, (), {})


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the stand-ins, and modules below them."""

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] not in NAMES:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = Empty(spec.name)
        module.__path__ = []
        return module

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing in it."""


sys.meta_path.insert(0, Finder())
