"""The checkpoint folder: a `Waiter` to and from Hugging Face layout.

Weights are stored as bf16 and read back as fp32; every published figure is of the rounded weights.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file
from tokenizers import Tokenizer

from reference_engine.llama.config import LlamaConfig, from_json
from reference_engine.llama.weights import save_narrow
from reference_engine.training.network import Waiter
from reference_engine.waiter.corpus import END
from reference_engine.waiter.tokenizer import BEGIN, PAD, save_tokenizer, special_id

WEIGHTS = "model.safetensors"


def config_of(shape: LlamaConfig, tokenizer: Tokenizer) -> dict[str, object]:
    """config.json: `LlamaForCausalLM` in the words of transformers, old (`torch_dtype`) and new
    (`dtype`)."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        **_special_ids(tokenizer),
        "dtype": "bfloat16",
        "head_dim": shape.head_width,
        "hidden_act": "silu",
        "hidden_size": shape.width,
        "initializer_range": 0.02,
        "intermediate_size": shape.inner,
        "max_position_embeddings": shape.positions,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "rms_norm_eps": shape.norm_eps,
        "rope_parameters": {"rope_theta": shape.rope_theta, "rope_type": "default"},
        "rope_theta": shape.rope_theta,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": shape.vocab,
    }


def save_checkpoint(network: Waiter, tokenizer: Tokenizer, folder: Path) -> None:
    """Writes weights, configuration and tokenizer; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    generation = {**_special_ids(tokenizer), "do_sample": False, "max_new_tokens": 128}
    save_narrow(network.state_dict(), folder / WEIGHTS)
    write_json(folder / "config.json", config_of(network.shape, tokenizer))
    write_json(folder / "generation_config.json", generation)
    save_tokenizer(tokenizer, folder)


def load_network(folder: Path) -> Waiter:
    """The network of a checkpoint folder, fp32, for inference."""
    network = Waiter(from_json(json.loads((folder / "config.json").read_text())))
    network.load_state_dict(
        {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}
    )
    return network.eval().requires_grad_(False)


def rounded(network: Waiter) -> Waiter:
    """A copy with the weights that `save_checkpoint` would store, fp32, for inference."""
    copy = Waiter(network.shape)
    copy.load_state_dict(
        {name: value.bfloat16().float() for name, value in network.state_dict().items()}
    )
    return copy.eval().requires_grad_(False)


def write_json(path: Path, content: object) -> None:
    """Writes JSON as people read it, in one step."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.replace(path)


def _special_ids(tokenizer: Tokenizer) -> dict[str, object]:
    return {
        "bos_token_id": special_id(tokenizer, BEGIN),
        "eos_token_id": special_id(tokenizer, END),
        "pad_token_id": special_id(tokenizer, PAD),
    }
