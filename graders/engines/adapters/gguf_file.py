"""A Llama or Qwen3 checkpoint in Hugging Face layout, written as GGUF in f32, bf16 or q8_0, with
its byte-level vocabulary where it has one.

Needs numpy and gguf. In a Llama llama.cpp rotates neighbouring dimensions, Hugging Face halves: the
rows of its query and key projections are put in llama.cpp's order.
"""

import json
from pathlib import Path
from typing import Any

import gguf  # type: ignore[import-not-found, unused-ignore]
import loaded_weights  # type: ignore[import-not-found, unused-ignore]  # beside the host
import numpy

KINDS = ("llama", "qwen3")
"""Types of model, by llama.cpp's name and transformers'."""
NEEDED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
)
NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}
CONTROL = 3  # the kind of a token that is no text


def write(folder: Path, path: Path, *, endless: bool = False, form: str = "f32") -> int:
    """Write `path` from the checkpoint in `folder`. endless: no token ends an answer (for engines
    that always stop). form: of the matrices, f32, bf16 or q8_0; bf16 where a row is no blocks of
    q8_0. Returns the bytes of all tensors.

    Keys that a config may leave out have the values that transformers gives them. Raises
    ValueError, in one sentence, for a model that is no plain Llama or Qwen3, and for a checkpoint
    that lacks what llama.cpp needs.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kind = config.get("model_type")
    if kind not in KINDS:
        raise ValueError(
            f"a model of type {kind!r} is not written as GGUF, only {' and '.join(KINDS)}"
        )
    lacking = [name for name in NEEDED if not config.get(name)]
    if lacking:
        raise ValueError(f"its config.json names no {lacking[0]}")
    writer = gguf.GGUFWriter(str(path), kind)
    heads, kv_heads = config["num_attention_heads"], _kv_heads(config)
    _sizes(writer, config, heads, kv_heads)
    writer.add_file_type(FILE_TYPES[form])
    _vocabulary(writer, folder, config, endless)
    size = 0
    for name, tensor in _tensors(folder, config):
        if kind == "llama" and name.endswith("q_proj.weight"):
            tensor = permuted(tensor, heads)
        elif kind == "llama" and name.endswith("k_proj.weight"):
            tensor = permuted(tensor, kv_heads)
        held = _kind(tensor, form)
        kept = gguf.quants.quantize(numpy.ascontiguousarray(tensor), held)
        writer.add_tensor(renamed(name), kept, raw_dtype=held)
        size += kept.nbytes
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return size


def _kind(tensor: Any, form: str) -> Any:
    """What a tensor is written as; one that is no matrix always as f32."""
    kinds = gguf.GGMLQuantizationType
    if tensor.ndim < 2 or form == "f32":
        return kinds.F32
    return kinds.Q8_0 if form == "q8_0" and tensor.shape[-1] % 32 == 0 else kinds.BF16


def permuted(rows: Any, heads: int) -> Any:
    """Rows (first half, second half) of every head as pairs (dimension i, dimension i + half) side
    by side."""
    return rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def renamed(name: str) -> str:
    """A tensor's name in GGUF. Raises ValueError for one that a plain Llama or Qwen3 does not have."""
    plain = name.removesuffix(".weight")
    if plain in OUTER:
        return f"{OUTER[plain]}.weight"
    parts = plain.split(".", 3)
    if plain == name or len(parts) < 4 or parts[3] not in NAMES:
        raise ValueError(f"nobody knows what llama.cpp calls the tensor {name}")
    return f"blk.{parts[2]}.{NAMES[parts[3]]}.weight"


def _kv_heads(config: dict[str, Any]) -> int:
    """As many as query heads, where a config does not say; Qwen3 has 32."""
    heads: int = config["num_attention_heads"]
    absent = (
        32 if config["model_type"] == "qwen3" and "num_key_value_heads" not in config else heads
    )
    return config.get("num_key_value_heads") or absent


def _sizes(writer: Any, config: dict[str, Any], heads: int, kv_heads: int) -> None:
    rope, newer = config.get("rope_parameters") or {}, config["model_type"] == "qwen3"
    absent = 128 if newer and "head_dim" not in config else config["hidden_size"] // heads
    width = config.get("head_dim") or absent
    writer.add_context_length(config.get("max_position_embeddings") or (32768 if newer else 2048))
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(rope.get("rope_theta") or config.get("rope_theta") or 10000.0)
    writer.add_layer_norm_rms_eps(config.get("rms_norm_eps") or 1e-6)
    writer.add_vocab_size(config["vocab_size"])


def _vocabulary(writer: Any, folder: Path, config: dict[str, Any], endless: bool) -> None:
    """The tokenizer's words; for a model without a tokenizer none, then only token ids can be used."""
    file = folder / "tokenizer.json"
    if not file.exists():
        writer.add_tokenizer_model("no_vocab")
        return
    told = json.loads(file.read_text(encoding="utf-8"))
    words = {number: word for word, number in told["model"]["vocab"].items()}
    special = {token["id"]: token["content"] for token in told.get("added_tokens") or ()}
    words |= special
    count = config["vocab_size"]
    kinds = [CONTROL if number in special else 1 for number in range(count)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([words.get(number, f"<unused {number}>") for number in range(count)])
    writer.add_token_types(kinds)
    merges = told["model"].get("merges") or []
    writer.add_token_merges(
        [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
    )
    begin, end, padding = (_id(config, f"{name}_token_id") for name in ("bos", "eos", "pad"))
    if begin is not None:
        writer.add_bos_token_id(begin)
    if endless and padding is None:
        raise ValueError("its config.json names no pad_token_id to put in the place of the end")
    if end is not None or endless:
        writer.add_eos_token_id(padding if endless else end)
    writer.add_add_bos_token(False)


def _id(config: dict[str, Any], name: str) -> int | None:
    """A token with a meaning: the first of several, None where the config names none."""
    told = config.get(name)
    first = told[0] if isinstance(told, list) and told else told
    return first if isinstance(first, int) else None


def _tensors(folder: Path, config: dict[str, Any]) -> Any:
    """Every tensor that counts by name, in f32. numpy knows no bfloat16, so those are widened by
    hand.

    A tied LM head is the embedding, even where the checkpoint holds one; old checkpoints hold
    frequencies too.
    """
    found = loaded_weights.tensors(folder)
    tied = bool(config.get("tie_word_embeddings"))
    if not tied and "lm_head.weight" not in found:
        raise ValueError(
            "the checkpoint has no lm_head.weight, and its config.json does not tie it to the embedding"
        )
    for name, (path, origin, header) in found.items():
        if name.endswith("rotary_emb.inv_freq") or (tied and name == "lm_head.weight"):
            continue
        start, end = header["data_offsets"]
        with path.open("rb") as file:
            file.seek(origin + start)
            yield (
                name,
                _widened(file.read(end - start), name, header["dtype"]).reshape(header["shape"]),
            )


def _widened(data: bytes, name: str, kind: str) -> Any:
    if kind == "BF16":
        return (numpy.frombuffer(data, numpy.uint16).astype(numpy.uint32) << 16).view(numpy.float32)
    known = {"F64": numpy.float64, "F32": numpy.float32, "F16": numpy.float16}
    if kind not in known:
        raise ValueError(f"{name} is of {kind}: quantised weights are not written as GGUF")
    return numpy.frombuffer(data, known[kind]).astype(numpy.float32)
