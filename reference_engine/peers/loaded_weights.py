"""Which weights an engine has loaded: the digest of a checkpoint's tensors, and what a torch module
holds.

Runs in the environments of all engines, so it needs the standard library alone. What counts as one
parameter is exact:

* a number of the checkpoint counts once, however often it is used (a tied LM head);
* matrices that were fused into one (q, k and v; gate and up) add up to what they were made of;
* rows by which an engine pads its vocabulary do not count: the module says itself how many words
  are real;
* rows and columns by which an engine pads the inner width of a feed-forward part do not count where
  they hold zeros alone: the checkpoint's config says how wide it is;
* a matrix that an engine has packed for its processor, leaving nothing behind, counts with the
  sizes and the dtype that the layer was made with; its loader has held the checkpoint's tensor
  against them.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

INDEX = "model.safetensors.index.json"
WHOLE = "model.safetensors"
PIECE = 1 << 22
"""Bytes of a file that are in memory at a time."""


def files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint: those that its index names, else the one. Raises
    ValueError."""
    if not (folder / INDEX).exists():
        return [folder / WHOLE]
    try:
        named = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()
        paths = sorted({folder / name for name in named})
    except (KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{folder / INDEX} has no weight_map") from error
    for path in paths:
        if path.parent != folder:
            raise ValueError(f"{folder / INDEX} names a file outside of its folder: {path}")
    return paths


def tensors(folder: Path) -> dict[str, tuple[Path, int, dict[str, Any]]]:
    """Every tensor by name: its file, where the data begin, and its header (dtype, shape,
    data_offsets).

    Raises OSError and ValueError for files that are none.
    """
    found: dict[str, tuple[Path, int, dict[str, Any]]] = {}
    for path in files(folder):
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                raise ValueError(f"{path} is truncated or corrupt")
            header = json.loads(file.read(length))
        for name in header.keys() - {"__metadata__"}:
            found[name] = path, 8 + length, header[name]
    return found


def stored(folder: Path) -> str:
    """The dtype of the tensors in a checkpoint, as configs name it: that of most numbers."""
    sizes: dict[str, int] = {}
    for _, _, header in tensors(folder).values():
        start, end = header["data_offsets"]
        sizes[header["dtype"]] = sizes.get(header["dtype"], 0) + end - start
    most = max(sizes, key=lambda dtype: sizes[dtype], default="F32")
    return {"F64": "float64", "F16": "float16", "BF16": "bfloat16"}.get(most, "float32")


def digest(folder: str | Path) -> str:
    """64 hexadecimal digits: of the names, dtypes, shapes and bytes of all tensors, in the order of
    their names.

    How they are spread over files, and in which order they lie there, does not matter. Raises
    OSError and ValueError.
    """
    found = hashlib.sha256()
    for name, (path, origin, header) in sorted(tensors(Path(folder)).items()):
        start, end = header["data_offsets"]
        found.update(json.dumps([name, header["dtype"], header["shape"], end - start]).encode())
        with path.open("rb") as file:
            file.seek(origin + start)
            for piece in _pieces(file, end - start):
                found.update(piece)
    return found.hexdigest()


def _pieces(file: BinaryIO, rest: int) -> Iterator[bytes]:
    while rest:
        piece = file.read(min(PIECE, rest))
        if not piece:
            raise ValueError(f"{file.name} is truncated or corrupt")
        rest -= len(piece)
        yield piece


def held(module: Any, inner_width: int = 0) -> dict[str, Any]:
    """{"parameters": count, "dtype": name} of a torch module of any engine; several dtypes are
    joined by a plus.

    inner_width: of the feed-forward parts as the checkpoint has it (see `inner_width`); 0: no
    engine pads it.
    """
    seen: set[tuple[int, int]] = set()
    count, dtypes = 0, set()
    for path, layer in module.named_modules():
        for name, weight in layer.named_parameters(recurse=False, remove_duplicate=False):
            numbers, dtype = weight.numel(), weight.dtype
            key = (weight.data_ptr(), numbers) if numbers else (id(layer), 0)
            if key in seen:
                continue
            seen.add(key)
            if not numbers and name == "weight":
                numbers, dtype = _packed(layer, dtype)
            if numbers:
                count += (
                    numbers - _padding(layer, weight) - _inner_padding(path, weight, inner_width)
                )
                dtypes.add(str(dtype).removeprefix("torch."))
    return {"parameters": count, "dtype": "+".join(sorted(dtypes))}


def _packed(layer: Any, dtype: Any) -> tuple[int, Any]:
    """Numbers and dtype of a linear layer whose weight was packed away, by the sizes that it was
    made with."""
    rows, columns = (
        getattr(layer, "output_size_per_partition", 0),
        getattr(layer, "input_size_per_partition", 0),
    )
    return int(rows) * int(columns), getattr(layer, "params_dtype", dtype)


def _padding(layer: Any, weight: Any) -> int:
    """Numbers in rows that an embedding or LM head has beyond its vocabulary, by its own account."""
    real, padded = (
        getattr(layer, "org_vocab_size", None),
        getattr(layer, "num_embeddings_padded", None),
    )
    if real is None or padded is None or weight.dim() < 2 or weight.shape[0] != padded:
        return 0
    return int((padded - real) * weight.shape[1])


def inner_width(folder: str | Path) -> int:
    """How wide the feed-forward parts of a checkpoint are; 0 where its config does not say so."""
    width = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8")).get(
        "intermediate_size"
    )
    return width if type(width) is int else 0


def _inner_padding(path: str, weight: Any, inner: int) -> int:
    """Numbers of a feed-forward matrix beyond its checkpoint's inner width, if they are zeros: they
    compute nothing."""
    kind = path.rpartition(".")[2]
    if not inner or weight.dim() != 2:
        return 0
    if kind == "down_proj":
        beyond = weight[:, inner:]  # [width, padding]
    elif kind == "gate_up_proj":
        beyond = weight.view(2, -1, weight.shape[1])[
            :, inner:
        ]  # [2, padding, width]: gate's rows, then up's
    elif kind in ("gate_proj", "up_proj"):
        beyond = weight[inner:]  # [padding, width]
    else:
        return 0
    return 0 if bool(beyond.any()) else int(beyond.numel())


class Reporter:
    """What vLLM mixes into its workers, so that they can be asked (`worker_extension_cls`)."""

    get_model: Any

    def loaded_weights(self) -> dict[str, Any]:
        """Of the model that this worker serves."""
        return held(self.get_model())
