"""A config.json that lacks a key, or holds a strange one: it works as in transformers, or one
sentence says why not; and what every engine is given has all keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from graders.engines.loaded import Loaded, checkpoint, given, of_model
from reference_engine import memory, oracle
from reference_engine.llama.config import SHAPES, LlamaConfig, from_json, to_json
from reference_engine.llama.weights import save
from reference_engine.model import ModelError, random_model, write
from reference_engine.model_loader import load_model
from reference_engine.peers import loaded_weights
from reference_engine.waiter import CHECKPOINT

torch.set_num_threads(1)
CONFIGS = {
    "llama": replace(SHAPES["tiny"], tied=True),
    "qwen3": LlamaConfig(
        vocab=96, width=32, layers=1, heads=32, kv_heads=32, head_width=128, inner=48, qk_norm=True
    ),
}
SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
)
STRANGE = (
    None,
    0,
    -1,
    1,
    7,
    1.5,
    True,
    "",
    "wide",
    [],
    [3],
    {},
    {"a": {}},
    10**30,
    float("nan"),
    float("inf"),
    "8",
)
IDS = {"bos_token_id": 1, "eos_token_id": [2, 3], "pad_token_id": 0}


def saved(folder: Path, kind: str) -> dict[str, Any]:
    """A checkpoint of that type, and what its config.json says."""
    model = random_model(CONFIGS[kind], seed=1)
    save(folder, model.config, model.weights, IDS)
    told: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return told


KEYS = sorted(to_json(CONFIGS["llama"], ids=IDS))


def needed(kind: str, key: str) -> bool:
    """Without it the tensors of this checkpoint have other shapes, or there are others."""
    return key in SIZES or (
        kind == "llama" and key in ("tie_word_embeddings", "num_key_value_heads")
    )


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("key", KEYS)
def test_without_a_key_it_works_as_in_transformers_or_one_sentence_says_why_not(
    tmp_path: Path, kind: str, key: str
) -> None:
    told = saved(tmp_path, kind)
    (tmp_path / "config.json").write_text(
        json.dumps({name: told[name] for name in told if name != key})
    )
    if needed(kind, key):
        with pytest.raises(
            ModelError, match=rf"names no {key}|lm_head\.weight|config\.json asks for"
        ):
            load_model(tmp_path)
        return
    absent = {"max_position_embeddings": {"positions": 2048 if kind == "llama" else 32_768}}
    absent["rms_norm_eps"] = {"norm_eps": 1e-6}
    assert load_model(tmp_path).config == replace(CONFIGS[kind], **absent.get(key, {}))


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_strange_value_is_refused_in_a_sentence_or_harmless(tmp_path: Path, kind: str) -> None:
    told = saved(tmp_path, kind)
    more = ("rope_scaling", "quantization_config", "use_sliding_window", "partial_rotary_factor")
    for key in (*KEYS, *more):
        for strange in STRANGE:
            (tmp_path / "config.json").write_text(json.dumps({**told, key: strange}))
            try:
                load_model(tmp_path)
            except ModelError as error:
                assert "\n" not in str(error) and len(str(error)) < 400, (key, strange)


@pytest.mark.parametrize(
    "told",
    ["[]", "3", "null", "{}", '{"architectures": 3}', '{"architectures": "LlamaForCausalLM"}'],
)
def test_a_config_that_is_no_table_of_sizes_is_refused(tmp_path: Path, told: str) -> None:
    (tmp_path / "config.json").write_text(told)
    with pytest.raises(ModelError, match=r"config\.json cannot be used: it"):
        load_model(tmp_path)


def test_both_spellings_of_rotary_positions_are_read() -> None:
    told = to_json(CONFIGS["llama"])
    del told["rope_theta"], told["rope_parameters"]
    assert from_json(told).rope_theta == 10_000
    for more in (
        {"rope_theta": 7.0},
        {"rope_parameters": {"rope_theta": 7}},
        {"rope_scaling": {"rope_theta": 7}},
    ):
        assert from_json({**told, **more}).rope_theta == 7
    for rope in (
        {"rope_type": "yarn"},
        {"type": "linear"},
        {"full_attention": {}},
        {"partial_rotary_factor": 0.5},
    ):
        with pytest.raises(ValueError, match="rota"):
            from_json({**told, "rope_parameters": rope})


def stripped(folder: Path) -> None:
    """Leave out of config.json whatever may be left out."""
    told = json.loads((folder / "config.json").read_text())
    kept = (*SIZES, "model_type", "num_key_value_heads", "tie_word_embeddings")
    (folder / "config.json").write_text(json.dumps({name: told[name] for name in kept}))


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_engine_is_given_a_config_with_all_keys_and_the_same_tensors(
    tmp_path: Path, kind: str
) -> None:
    saved(tmp_path, kind)
    stripped(tmp_path)
    model = load_model(tmp_path)
    with checkpoint(model) as written:
        told = json.loads((written.folder / "config.json").read_text())
        assert set(KEYS) - set(IDS) <= set(told) and from_json(told) == model.config
        assert written.loaded == given(tmp_path, model.config)
        assert load_model(written.folder).config == model.config
        kept = written.folder
    assert not kept.exists() and (tmp_path / "model.safetensors").exists()


def test_a_model_of_16_bits_is_given_in_16_bits() -> None:
    with checkpoint(load_model("waiter@20m", dtype=torch.bfloat16)) as written:
        assert json.loads((written.folder / "config.json").read_text())["dtype"] == "bfloat16"
        assert {
            weight.dtype for weight in load_file(written.folder / "model.safetensors").values()
        } == {torch.bfloat16}
        assert written.loaded.dtype == "bfloat16"


def test_a_stretched_models_folder_holds_the_stretched_model() -> None:
    model, small = load_model("waiter@20m"), load_model("waiter")
    assert model.folder is None and model.source == CHECKPOINT
    with checkpoint(model) as written:
        found = {
            name: tuple(weight.shape)
            for name, weight in load_file(written.folder / "model.safetensors").items()
        }
        assert found == model.config.shapes()
        told = json.loads((written.folder / "config.json").read_text())
        assert (told["hidden_size"], told["max_position_embeddings"], told["dtype"]) == (
            384,
            4096,
            "float32",
        )
        assert (told["bos_token_id"], told["eos_token_id"], told["pad_token_id"]) == (1, 2, 0)
        assert (written.folder / "tokenizer.json").read_bytes() == (
            CHECKPOINT / "tokenizer.json"
        ).read_bytes()
        assert (written.folder / "generation_config.json").exists()
        prompt = small.tokenizer.encode("Guest: How much is the soup?\nWaiter:").ids
        assert oracle.greedy(load_model(written.folder), prompt, 6) == oracle.greedy(
            small, prompt, 6
        )
        assert (
            written.loaded.parameters == model.config.parameters > 5 * of_model("waiter").parameters
        )
    assert of_model("waiter@20m") == written.loaded, "made again, its weights have the same digest"
    assert of_model("waiter@20m").weights != of_model("waiter").weights


def test_a_digest_is_of_tensors_wherever_they_lie(tmp_path: Path) -> None:
    saved(tmp_path / "one", "llama")
    weights = load_file(tmp_path / "one" / "model.safetensors")
    names = sorted(weights)
    (tmp_path / "two").mkdir()
    halves = {"b.safetensors": names[::2], "a.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file(
            {name: weights[name] for name in part},
            tmp_path / "two" / file,
            {"format": "pt", "more": "said"},
        )
    index = {"weight_map": {name: file for file, part in halves.items() for name in part}}
    (tmp_path / "two" / loaded_weights.INDEX).write_text(json.dumps(index))
    assert loaded_weights.digest(tmp_path / "one") == loaded_weights.digest(tmp_path / "two")
    (tmp_path / "two" / "config.json").write_text((tmp_path / "one" / "config.json").read_text())
    write(load_model(tmp_path / "two"), tmp_path / "three")
    assert loaded_weights.digest(tmp_path / "three") == loaded_weights.digest(tmp_path / "one")
    changed = {**weights, "model.norm.weight": weights["model.norm.weight"] + 1e-6}
    for other in (changed, {**weights, "model.norm.weight": weights["model.norm.weight"].half()}):
        save_file(other, tmp_path / "one" / "model.safetensors")
        assert loaded_weights.digest(tmp_path / "one") != loaded_weights.digest(tmp_path / "two")
    (tmp_path / "two" / loaded_weights.INDEX).write_text(
        json.dumps({"weight_map": {"a": "../one/model.safetensors"}})
    )
    with pytest.raises(ModelError, match="names a file outside of its folder"):
        load_model(tmp_path / "two")


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn, torch.float8_e5m2])
def test_quantised_weights_are_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    saved(tmp_path, "llama")
    weights = load_file(tmp_path / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"].to(dtype)
    save_file(weights, tmp_path / "model.safetensors")
    told = f"is of {str(dtype).removeprefix('torch.')}: the engine reads no quantised weights"
    with pytest.raises(ModelError, match=told):
        load_model(tmp_path)


def test_a_checkpoint_in_fp16_is_read_without_loss(tmp_path: Path) -> None:
    saved(tmp_path, "llama")
    halves = {name: each.half() for name, each in load_file(tmp_path / "model.safetensors").items()}
    save_file(halves, tmp_path / "model.safetensors")
    model = load_model(tmp_path)
    assert all(torch.equal(weight, halves[name].float()) for name, weight in model.weights.items())
    assert model.bytes_a_weight == 4, "bf16 holds none of its matrices"


class Layer(torch.nn.Module):
    """A layer as engines make them, with what they say of it."""

    def __init__(self, weight: torch.Tensor, **said: Any) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight, requires_grad=False)
        for name, value in said.items():
            setattr(self, name, value)


def test_parameters_are_counted_exactly_in_modules_of_other_engines() -> None:
    """A tied head once, fused matrices whole, padding not at all, packed matrices by the sizes of
    their layer."""
    network = torch.nn.Module()
    padded = Layer(torch.zeros(64, 8), org_vocab_size=60, num_embeddings_padded=64)
    network.embed, network.fused, network.norm = (
        padded,
        Layer(torch.zeros(24, 8)),
        Layer(torch.zeros(8)),
    )
    network.head = Layer(torch.zeros(1))
    network.head.weight = padded.weight
    packed = {
        "output_size_per_partition": 5,
        "input_size_per_partition": 7,
        "params_dtype": torch.float32,
    }
    network.packed, network.again = Layer(torch.empty(0), **packed), Layer(torch.empty(0), **packed)
    expected = {"parameters": 60 * 8 + 24 * 8 + 8 + 2 * 5 * 7, "dtype": "float32"}
    assert loaded_weights.held(network) == expected
    network.more = Layer(torch.zeros(3, dtype=torch.float16))
    assert loaded_weights.held(network) == {
        "parameters": expected["parameters"] + 3,
        "dtype": "float16+float32",
    }


def test_what_differs_is_said_and_nothing_is_tolerated() -> None:
    due = Loaded("a" * 64, 1000)
    assert due.difference(due) == ""
    assert (
        replace(due, parameters=1001)
        .difference(due)
        .startswith("it holds 1,001 parameters in float32, it was")
    )
    assert "in bfloat16" in replace(due, dtype="bfloat16").difference(due)
    assert (
        replace(due, weights="b" * 64).difference(due)
        == "it loaded weights bbbbbbbbbbbb, it was given aaaaaaaaaaaa"
    )


LARGE: dict[str, Callable[[Path], object]] = {
    "random:tiny": lambda folder: load_model("random:tiny"),
    "waiter@20m": lambda folder: load_model("waiter@20m"),
    "model": load_model,
}


@pytest.mark.parametrize("name", LARGE)
def test_a_model_larger_than_memory_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    saved(tmp_path / "model", "llama")
    left = 4 * of_model("waiter").parameters if name == "waiter@20m" else 1000
    monkeypatch.setattr(memory, "available", lambda device: left)
    with pytest.raises(
        ModelError, match=rf"{name}\S* has [\d,]+ parameters, .* GiB of memory are left on cpu$"
    ):
        LARGE[name](tmp_path / "model")


def test_the_memory_that_is_left_is_known_here_or_said_not_to_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = memory.available(torch.device("cpu"))
    assert found is None or found > 0
    for name, text in (("memory.max", "5000"), ("memory.current", "2000")):
        (tmp_path / name).write_text(text)
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 8 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    assert memory.available(torch.device("cpu")) == 3000
    (tmp_path / "memory.max").write_text("max")
    assert memory.available(torch.device("cpu")) == 8192
    with pytest.raises(ModelError, match="3 engines hold big at the same time, "):
        memory.refuse_copies_that_do_not_fit("big", 4000, 3)


def test_zeros_beyond_the_inner_width_are_padding_and_anything_else_is_weights() -> None:
    """Some engines round the feed-forward width up on a CPU."""
    layer = torch.nn.Module()
    layer.gate_up_proj = torch.nn.Linear(4, 2 * 8, bias=False)
    layer.down_proj = torch.nn.Linear(8, 4, bias=False)
    with torch.no_grad():
        layer.gate_up_proj.weight.view(2, 8, 4)[:, 6:] = 0
        layer.down_proj.weight[:, 6:] = 0
    assert loaded_weights.held(layer)["parameters"] == 3 * 8 * 4
    assert loaded_weights.held(layer, 6)["parameters"] == 3 * 6 * 4
    with torch.no_grad():
        layer.down_proj.weight[0, 7] = 1
    assert loaded_weights.held(layer, 6)["parameters"] == 2 * 6 * 4 + 8 * 4
