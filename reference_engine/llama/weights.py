"""Where the weights of a Llama come from: a checkpoint folder in Hugging Face layout, or a seed."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from reference_engine.formats import SLICE
from reference_engine.llama.config import LlamaConfig, from_json, to_json
from reference_engine.mapped_files import MappedFiles
from reference_engine.peers import loaded_weights

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


class ModelError(Exception):
    """A model cannot be loaded. The message says in one sentence which, and why."""


def read_config(folder: Path) -> LlamaConfig:
    """The sizes in `folder`/config.json. Raises ModelError."""
    if not folder.is_dir():
        raise ModelError(f"no model folder at {folder}")
    try:
        return from_json(read_json(folder / "config.json"))
    except (ValueError, TypeError) as error:
        raise ModelError(f"{folder / 'config.json'} cannot be used: {error}") from error


def read_weights(
    folder: Path, config: LlamaConfig, *, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Every tensor that `config` asks for, by its Hugging Face name.

    Raises ModelError for a missing, truncated or corrupt file, a missing tensor, a tensor of
    another shape and one that holds no finite numbers throughout.
    """
    found: dict[str, Tensor] = {}
    for path in files(folder):
        try:
            with safe_open(path, framework="pt", device=str(device)) as file:
                found |= _converted(file, path, dtype)
        except FileNotFoundError as error:
            raise ModelError(f"{path} is missing") from error
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelError(f"{path} is truncated or corrupt: {error}") from error
    _check(found, config.shapes(), folder)
    return {name: found[name] for name in config.shapes()}


def random_weights(
    config: LlamaConfig, seed: int, *, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Weights that depend on `seed`, the tensor's name and the device type alone.

    They are scaled so that activations keep their size and every token's KV matters to what is said
    next: a wrong read of KV shows in the greedy text.
    """
    return {
        name: _random(name, shape, seed, device).to(dtype)
        if len(shape) > 1
        else torch.ones(shape, device=device, dtype=dtype)
        for name, shape in config.shapes().items()
    }


def save(
    folder: Path,
    config: LlamaConfig,
    weights: Mapping[str, Tensor],
    ids: Mapping[str, Any] | None = None,
) -> None:
    """Write config.json and model.safetensors in Hugging Face layout; the tensors keep their dtype.

    ids: of the tokens that have a meaning, by their names in a config.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dtype = str(next(iter(weights.values())).dtype).removeprefix("torch.")
    (folder / "config.json").write_text(
        json.dumps(to_json(config, dtype, ids), indent=2) + "\n", encoding="utf-8"
    )
    save_file(
        {name: tensor.contiguous() for name, tensor in weights.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )


def save_narrow(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as bf16; the file appears whole or not at all, and anybody may read it."""
    narrow = {name: weight.detach().bfloat16().contiguous() for name, weight in weights.items()}
    partial = path.with_name(f"{path.name}.partial")
    save_file(narrow, partial, metadata={"format": "pt"})
    partial.chmod(0o644)
    partial.replace(path)


def read_json(path: Path) -> Any:
    """What a JSON file of a checkpoint holds. Raises ModelError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, there or not. Raises ModelError for an index that is
    none."""
    try:
        return loaded_weights.files(folder)
    except (OSError, ValueError) as error:
        raise ModelError(str(error)) from error


def _number(tensor: Tensor, name: str, path: Path) -> Tensor:
    """The tensor, if its dtype is one that weights are computed in."""
    if tensor.dtype not in FLOATS:
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise ModelError(f"{name} in {path} is of {dtype}: the engine reads no quantised weights")
    return tensor


def _converted(file: Any, path: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors of an open file in `dtype`; what was converted takes no more memory where it was
    read."""
    found, mapped = dict[str, Tensor](), MappedFiles.now()
    for name in file.keys():  # noqa: SIM118  (not a mapping)
        read = _number(file.get_tensor(name), name, path)
        mapped = mapped if found else MappedFiles.now()
        found[name] = read.to(dtype)
        if found[name] is not read and read.device.type == "cpu":
            mapped.let_go(read)
    return found


def _check(
    found: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], folder: Path
) -> None:
    mapped = MappedFiles.now()
    for name, shape in shapes.items():
        if name not in found:
            raise ModelError(f"the checkpoint in {folder} lacks the tensor {name}")
        if tuple(found[name].shape) != shape:
            raise ModelError(
                f"{name} in {folder} has shape {list(found[name].shape)}; config.json asks for {list(shape)}"
            )
        check_finite(found[name], f"{name} in {folder}")
        if found[name].device.type == "cpu":
            mapped.let_go(found[name])


def check_finite(weights: Tensor, name: str) -> None:
    """ModelError when a weight is NaN or infinite. Their sum tells nearly always, sooner than a
    look at each."""
    for start in range(0, len(weights), SLICE):  # a sum of what is narrow takes it as fp32 beside
        part = weights[start : start + SLICE]
        if not math.isfinite(part.sum(dtype=torch.float32)) and not part.isfinite().all():
            dtype = str(weights.dtype).removeprefix("torch.")
            raise ModelError(
                f"{name} holds NaN or infinity in {dtype}: the checkpoint is broken, or exceeds that dtype"
            )


def _random(name: str, shape: tuple[int, ...], seed: int, device: torch.device) -> Tensor:
    generator = torch.Generator(device=device)
    generator.manual_seed(zlib.crc32(f"{seed}/{name}".encode()))
    deviation = 1.0 if "embed_tokens" in name else shape[1] ** -0.5
    if "q_proj" in name or "k_proj" in name:
        deviation *= 1.5
    return torch.randn(shape, generator=generator, device=device) * deviation
