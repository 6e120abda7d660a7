"""A model by its name.

`load_model` knows "waiter" (the model that the package ships), "random:<shape>" or
"random:<shape>@<seed>" (weights from a seed; shapes in `llama.config.SHAPES`), the path of a
checkpoint folder in Hugging Face layout, and "<waiter or folder>@<shape>": that model stretched to
a larger shape (see `stretch`).
"""

from __future__ import annotations

from pathlib import Path

import torch

from reference_engine.embed_in_larger import shape_to_stretch_to, stretch, stretched_config
from reference_engine.gpu.device import choose_device, refused
from reference_engine.llama.config import SHAPES, LlamaConfig
from reference_engine.llama.weights import read_config, read_weights
from reference_engine.memory import refuse_what_does_not_fit
from reference_engine.model import Model, ModelError, random_config, random_model
from reference_engine.waiter import CHECKPOINT


def load_model(
    name: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> Model:
    """The model called `name`, on `device`; "auto" is the GPU where there is one that the engine
    can use.

    Raises ModelError, whose message is one sentence.
    """
    where, text = _device(device), str(name)
    if text.startswith("random:"):
        shape, _, written = text.removeprefix("random:").partition("@")
        return random_model(
            shape, _seed(text, written) if written else seed, device=where, dtype=dtype
        )
    folder = CHECKPOINT if text == "waiter" else Path(name)
    if text != "waiter" and not folder.exists():
        base, at, shape = text.rpartition("@")
        if at:
            return stretch(load_model(base, device=where, dtype=dtype), shape, seed)
        raise _unknown(text)
    config = read_config(folder)
    refuse_what_does_not_fit(text, config, dtype, where)
    return Model(text, config, read_weights(folder, config, device=where, dtype=dtype), folder)


def config_of(name: str) -> LlamaConfig:
    """The sizes of the model called `name`; no weights are read or made. Raises ModelError as
    `load_model` does."""
    if name.startswith("random:"):
        shape, _, written = name.removeprefix("random:").partition("@")
        if written:
            _seed(name, written)
        return random_config(shape)
    if name == "waiter" or Path(name).exists():
        return read_config(CHECKPOINT if name == "waiter" else Path(name))
    base, at, shape = name.rpartition("@")
    if at:
        return stretched_config(config_of(base), shape_to_stretch_to(shape))
    raise _unknown(name)


def _unknown(name: str) -> ModelError:
    return ModelError(
        f"no model called {name!r}: use waiter, random:<{'|'.join(SHAPES)}> or a checkpoint folder"
    )


def _device(device: torch.device | str) -> torch.device:
    """Raises ModelError for a device that is not there or that the engine has no runner for."""
    if device == "auto":
        return choose_device().device
    try:
        where = torch.device(device)
    except RuntimeError:
        raise ModelError(
            f"there is no device called {device!r}: use auto, cpu, cuda or cuda:<number>"
        ) from None
    refusal = refused(where)
    if refusal:
        raise ModelError(refusal)
    return where


def _seed(name: str, written: str) -> int:
    if not written.isdecimal():
        raise ModelError(f"{name!r} has no seed after the @: write a number, as in random:tiny@7")
    return int(written)
