"""A Llama checkpoint in Hugging Face layout, written as GGUF in f32, with its byte-level vocabulary where it has one.

Needs numpy and gguf; nothing of ours. llama.cpp rotates neighbouring dimensions, Hugging Face halves: the
rows of the query and key projections are put in llama.cpp's order.
"""

import json
from pathlib import Path
from typing import Any

import gguf  # type: ignore[import-not-found, unused-ignore]
import numpy

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
CONTROL = 3  # the kind of a token that is no text


def write(folder: Path, path: Path, *, endless: bool = False) -> None:
    """Write `path` from the checkpoint in `folder`. endless: no token ends an answer (for engines that always stop).

    Raises ValueError for a model that is no plain Llama.
    """
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] != "llama":
        raise ValueError(f"a model of type {config['model_type']!r} is not written as GGUF, only a plain Llama")
    writer = gguf.GGUFWriter(str(path), "llama")
    heads, kv_heads = config["num_attention_heads"], config.get("num_key_value_heads", config["num_attention_heads"])
    width = config.get("head_dim") or config["hidden_size"] // heads
    _sizes(writer, config, heads, kv_heads, width)
    _vocabulary(writer, folder, config, endless)
    for name, tensor in _tensors(folder):
        if name.endswith("q_proj.weight"):
            tensor = permuted(tensor, heads)
        elif name.endswith("k_proj.weight"):
            tensor = permuted(tensor, kv_heads)
        writer.add_tensor(renamed(name), numpy.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def permuted(rows: Any, heads: int) -> Any:
    """Rows (first half, second half) of every head as pairs (dimension i, dimension i + half) side by side."""
    return rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def renamed(name: str) -> str:
    """A tensor's name in GGUF."""
    name = name.removesuffix(".weight")
    if name in OUTER:
        return f"{OUTER[name]}.weight"
    _, _, layer, inner = name.split(".", 3)
    return f"blk.{layer}.{NAMES[inner]}.weight"


def _sizes(writer: Any, config: dict[str, Any], heads: int, kv_heads: int, width: int) -> None:
    rope = config.get("rope_parameters") or {}
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(config.get("rope_theta") or rope.get("rope_theta", 10000.0))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)


def _vocabulary(writer: Any, folder: Path, config: dict[str, Any], endless: bool) -> None:
    """The tokenizer's words; for a model without a tokenizer none, then only token ids can be used."""
    file = folder / "tokenizer.json"
    if not file.exists():
        writer.add_tokenizer_model("no_vocab")
        return
    told = json.loads(file.read_text())
    words = {number: word for word, number in told["model"]["vocab"].items()}
    special = {token["id"]: token["content"] for token in told["added_tokens"]}
    words |= special
    count = config["vocab_size"]
    kinds = [CONTROL if number in special else 1 for number in range(count)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([words.get(number, f"<unused {number}>") for number in range(count)])
    writer.add_token_types(kinds)
    merges = told["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["pad_token_id"] if endless else config["eos_token_id"])
    writer.add_add_bos_token(False)


def _tensors(folder: Path) -> Any:
    """Every tensor by name, in f32. numpy knows no bfloat16, so those are widened by hand."""
    for path in sorted(folder.glob("*.safetensors")):
        header, data = _raw(path)
        for name in header.keys() - {"__metadata__"}:
            start, end = header[name]["data_offsets"]
            yield name, _widened(data[start:end], header[name]["dtype"]).reshape(header[name]["shape"])


def _raw(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, and the bytes that its offsets count."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _widened(data: bytes, kind: str) -> Any:
    if kind == "BF16":
        return (numpy.frombuffer(data, numpy.uint16).astype(numpy.uint32) << 16).view(numpy.float32)
    return numpy.frombuffer(data, {"F32": numpy.float32, "F16": numpy.float16}[kind]).astype(numpy.float32)
