"""A model: sizes, weights, tokenizer. See `model_loader` for those that have names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from safetensors import SafetensorError
from torch import Tensor

from reference_engine.formats import Stored, on_int8_grid, stored_as
from reference_engine.llama.config import IDS, SHAPES, LlamaConfig, to_json
from reference_engine.llama.weights import ModelError, files, random_weights, read_json, save
from reference_engine.mapped_files import MappedFiles
from reference_engine.memory import refuse_what_does_not_fit
from reference_engine.peers import loaded_weights

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Model", "ModelError", "random_model", "write"]

T = TypeVar("T")


@dataclass(frozen=True)
class Model:
    """Weights by their Hugging Face names, all on one device and of one dtype. Nobody changes them.

    folder: the checkpoint that holds these very weights; None for those that nobody has written
    yet. made: see `kept`.
    """

    name: str
    config: LlamaConfig
    weights: Mapping[str, Tensor]
    folder: Path | None = None
    made: dict[type, object] = field(default_factory=dict, init=False, repr=False, compare=False)

    def kept(self, kind: type[T], make: Callable[[], T]) -> T:
        """What a runner makes of the weights, of class `kind`: made once, for all engines of this
        very model."""
        if kind not in self.made:
            self.made[kind] = make()
        return cast(T, self.made[kind])

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.weights["model.norm.weight"].device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are."""
        return self.weights["model.norm.weight"].dtype

    @cached_property
    def bytes_a_weight(self) -> float:
        """Of a number of the matrices on average, each stored as small as it can be without loss."""
        matrices = [weight for weight in self.weights.values() if weight.dim() > 1]
        taken = sum(
            stored_as(weight, zeros=self.zeros).value * weight.numel() for weight in matrices
        )
        return taken / sum(weight.numel() for weight in matrices)

    @cached_property
    def quantized(self) -> bool:
        """Whether every matrix is on the grid of int8, so that it is stored as int8 where its rows
        allow it.

        What was read of a file that is mapped takes no memory afterwards.
        """
        mapped = MappedFiles.now()
        return all(
            on_int8_grid(weight, mapped) for weight in self.weights.values() if weight.dim() > 1
        )

    @property
    def zeros(self) -> Stored:
        """As small as a matrix of zeros is stored: as all of its neighbours may be."""
        return Stored.INT8 if self.quantized else Stored.BF16

    @property
    def head(self) -> Tensor:
        """The LM head `[vocab, width]`."""
        return self.weights["model.embed_tokens.weight" if self.config.tied else "lm_head.weight"]

    @property
    def source(self) -> Path | None:
        """The folder with its tokenizer and the tokens that have a meaning; None where there is
        none."""
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


TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
)
"""What goes along with the weights where it is there."""


def write(model: Model, folder: Path) -> None:
    """A checkpoint folder in Hugging Face layout that holds the model, for any engine to load.

    config.json has every key that some engine asks for. The weights are those of `model`, in its
    dtype; where a folder holds these very weights already, its files are linked to. Raises
    ModelError when there is no room for them.
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
    """A model with weights from a seed, of a shape known by name or given. Raises ModelError for an
    unknown name."""
    config = random_config(shape) if isinstance(shape, str) else shape
    label = shape if isinstance(shape, str) else "custom"
    name, where = f"random:{label}@{seed}", torch.device(device)
    refuse_what_does_not_fit(name, config, dtype, where)
    return Model(name, config, random_weights(config, seed, device=where, dtype=dtype))


def random_config(shape: str) -> LlamaConfig:
    """The shape of that name. Raises ModelError for an unknown one."""
    if shape not in SHAPES:
        raise ModelError(f"no shape called {shape!r}: choose one of {', '.join(SHAPES)}")
    return SHAPES[shape]
