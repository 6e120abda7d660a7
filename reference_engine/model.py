"""A model by its name: sizes, weights, tokenizer.

`load_model` knows "waiter" (the model that the package ships), "random:<shape>" or "random:<shape>@<seed>" (weights
from a seed; shapes in `llama.config.SHAPES`), the path of a checkpoint folder in Hugging Face layout, and
"<waiter or folder>@<shape>": that model stretched to a larger shape (see `stretch`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from torch import Tensor

from reference_engine.llama.config import IDS, SHAPES, LlamaConfig, to_json
from reference_engine.llama.weights import (
    ModelError,
    files,
    random_weights,
    read_config,
    read_json,
    read_weights,
    save,
)
from reference_engine.memory import refuse_what_does_not_fit
from reference_engine.peers import loaded_weights
from reference_engine.waiter import CHECKPOINT

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Model", "ModelError", "load_model", "write"]


@dataclass(frozen=True)
class Model:
    """Weights by their Hugging Face names, all on one device and of one dtype. Nobody changes them.

    folder: the checkpoint that holds these very weights; None for those that nobody has written yet.
    """

    name: str
    config: LlamaConfig
    weights: Mapping[str, Tensor]
    folder: Path | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.weights["model.norm.weight"].device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are."""
        return self.weights["model.norm.weight"].dtype

    @property
    def head(self) -> Tensor:
        """The LM head `[vocab, width]`."""
        return self.weights["model.embed_tokens.weight" if self.config.tied else "lm_head.weight"]

    @property
    def source(self) -> Path | None:
        """The folder with its tokenizer and the tokens that have a meaning; None where there is none."""
        return self.folder

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The checkpoint's tokenizer. Raises ModelError when it has none or it is broken."""
        from tokenizers import Tokenizer

        if self.source is None:
            raise ModelError(f"{self.name} has random weights and no tokenizer: give it token ids")
        path = self.source / "tokenizer.json"
        if not path.exists():
            raise ModelError(f"{path} is missing")
        try:
            return Tokenizer.from_file(str(path))
        except Exception as error:  # the tokenizers library raises bare Exception
            raise ModelError(f"{path} cannot be read: {error}") from error


def load_model(
    name: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> Model:
    """The model called `name`, on `device`; "auto" is the GPU where there is one that the engine can use.

    Raises ModelError, whose message is one sentence.
    """
    where, text = _device(device), str(name)
    if text.startswith("random:"):
        shape, _, written = text.removeprefix("random:").partition("@")
        return random_model(shape, _seed(text, written) if written else seed, device=where, dtype=dtype)
    folder = CHECKPOINT if text == "waiter" else Path(name)
    if text != "waiter" and not folder.exists():
        base, at, shape = text.rpartition("@")
        if at:
            from reference_engine.stretch import stretch

            return stretch(load_model(base, device=where, dtype=dtype), shape, seed)
        raise ModelError(f"no model called {text!r}: use waiter, random:<{'|'.join(SHAPES)}> or a checkpoint folder")
    config = read_config(folder)
    refuse_what_does_not_fit(text, config, dtype, where)
    return Model(text, config, read_weights(folder, config, device=where, dtype=dtype), folder)


TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json")
"""What goes along with the weights where it is there."""


def write(model: Model, folder: Path) -> None:
    """A checkpoint folder in Hugging Face layout that holds the model, for any engine to load.

    config.json has every key that some engine asks for. The weights are those of `model`, in its dtype; where a folder
    holds these very weights already, its files are linked to. Raises ModelError when there is no room for them.
    """
    source = model.source
    told = read_json(source / "config.json") if source is not None else {}
    ids = {name: told[name] for name in IDS if name in told}
    try:
        if model.folder is None:
            save(folder, model.config, model.weights, ids)
        else:
            _link_weights(model.folder, folder)
            config = to_json(model.config, loaded_weights.stored(model.folder), ids)
            (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        for path in [source / name for name in TOKENIZER] if source is not None else ():
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{model.name} cannot be written to {folder}: {error}") from error


def _link_weights(source: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in files(source):
        (folder / path.name).symlink_to(path.resolve())
    index = source / loaded_weights.INDEX
    if index.exists():
        shutil.copyfile(index, folder / index.name)


def random_model(
    shape: str | LlamaConfig,
    seed: int = 0,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Model:
    """A model with weights from a seed, of a shape known by name or given. Raises ModelError for an unknown name."""
    if isinstance(shape, str) and shape not in SHAPES:
        raise ModelError(f"no shape called {shape!r}: choose one of {', '.join(SHAPES)}")
    config = SHAPES[shape] if isinstance(shape, str) else shape
    label = shape if isinstance(shape, str) else "custom"
    name, where = f"random:{label}@{seed}", torch.device(device)
    refuse_what_does_not_fit(name, config, dtype, where)
    return Model(name, config, random_weights(config, seed, device=where, dtype=dtype))


def _device(device: torch.device | str) -> torch.device:
    """Raises ModelError for a device that is not there or that the engine has no runner for."""
    from reference_engine.gpu.device import choose_device, refused

    if device == "auto":
        return choose_device().device
    try:
        where = torch.device(device)
    except RuntimeError:
        raise ModelError(f"there is no device called {device!r}: use auto, cpu, cuda or cuda:<number>") from None
    refusal = refused(where)
    if refusal:
        raise ModelError(refusal)
    return where


def _seed(name: str, written: str) -> int:
    if not written.isdecimal():
        raise ModelError(f"{name!r} has no seed after the @: write a number, as in random:tiny@7")
    return int(written)
