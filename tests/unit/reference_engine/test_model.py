"""Models by name: what loads, and the sentence that says why something does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from reference_engine import oracle
from reference_engine.llama.config import LlamaConfig
from reference_engine.llama.weights import save
from reference_engine.model import ModelError, random_model
from reference_engine.model_loader import config_of, load_model

PROMPT = [5, 9, 2, 100, 7]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = load_model("random:tiny@3")
    save(tmp_path / "tiny", model.config, model.weights)
    return tmp_path / "tiny"


def test_a_saved_model_says_the_same_after_loading(folder: Path) -> None:
    assert oracle.greedy(load_model(folder), PROMPT, 6) == oracle.greedy(
        load_model("random:tiny@3"), PROMPT, 6
    )


def test_random_weights_depend_on_the_seed_alone() -> None:
    first, same, other = (
        load_model("random:tiny@1"),
        load_model("random:tiny", seed=1),
        load_model("random:tiny@2"),
    )
    assert all(torch.equal(first.weights[name], same.weights[name]) for name in first.weights)
    assert not torch.equal(first.head, other.head)


def test_random_models_listen_to_every_token_of_the_context() -> None:
    model = load_model("random:tiny")
    before = oracle.logits(model, PROMPT)[-1]
    for place in range(len(PROMPT)):
        changed = [*PROMPT[:place], PROMPT[place] + 1, *PROMPT[place + 1 :]]
        assert (oracle.logits(model, changed)[-1] - before).abs().max() > 50 * oracle.TIE


def test_parameters_are_counted_as_stored() -> None:
    for config in (
        load_model("random:tiny").config,
        LlamaConfig(96, 32, 1, 4, 2, 16, 48, tied=True, qk_norm=True),
    ):
        stored = sum(weight.numel() for weight in random_model(config).weights.values())
        assert config.parameters == stored


@pytest.mark.parametrize("name", ["waiter", "random:tiny", "random:5m@3", "waiter@20m"])
def test_sizes_are_known_without_weights(name: str) -> None:
    assert config_of(name) == load_model(name).config


@pytest.mark.parametrize("asked", [load_model, config_of])
def test_an_unknown_name_is_answered_with_the_known_ones(asked: Callable[[str], object]) -> None:
    with pytest.raises(ModelError, match="no model called 'cook': use waiter"):
        asked("cook")
    with pytest.raises(ModelError, match=r"no shape called 'huge': choose one of tiny"):
        asked("random:huge")
    with pytest.raises(ModelError, match="has no seed after the @"):
        asked("random:tiny@x")
    with pytest.raises(ModelError, match="no shape called 'huge' to stretch to"):
        asked("waiter@huge")


def test_an_empty_folder_misses_its_config(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        load_model(tmp_path)


def test_missing_weights_are_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors is missing"):
        load_model(folder)


@pytest.mark.parametrize("kept", [0, 7, 100, -50])
def test_truncated_weights_are_called_truncated(folder: Path, kept: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError, match="truncated or corrupt"):
        load_model(folder)


def test_a_missing_and_a_misshapen_tensor_are_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    save_file(
        {name: weight for name, weight in weights.items() if "layers.1.mlp.up" not in name}, path
    )
    with pytest.raises(
        ModelError, match=r"lacks the tensor model\.layers\.1\.mlp\.up_proj\.weight"
    ):
        load_model(folder)
    save_file(weights | {"model.norm.weight": torch.ones(5)}, path)
    with pytest.raises(
        ModelError, match=r"model\.norm\.weight in .* has shape \[5\]; config\.json asks for \[32\]"
    ):
        load_model(folder)


def test_large_weights_are_numbers_in_one_dtype_and_none_in_another(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["model.norm.weight"].fill_(3e38)
    save_file(weights, path, {"format": "pt"})
    assert load_model(folder).weights["model.norm.weight"].isfinite().all()
    with pytest.raises(
        ModelError, match=r"model\.norm\.weight in .* in float16: .* or exceeds that dtype"
    ):
        load_model(folder, dtype=torch.float16)


@pytest.mark.parametrize("strange", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_named(folder: Path, strange: float) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = strange
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(
        ModelError, match=r"model\.layers\.1\.mlp\.up_proj\.weight in .* holds NaN or infinity"
    ):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"architectures": ["MambaForCausalLM"]}, "its architecture is MambaForCausalLM"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"rope_scaling": {"rope_type": "llama3"}}, r"scaled \(llama3\)"),
        ({"hidden_size": "wide"}, "cannot be used"),
    ],
)
def test_a_config_that_the_engine_does_not_compute_is_refused(
    folder: Path, change: dict[str, object], sentence: str
) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelError, match=sentence):
        load_model(folder)


def test_a_config_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        load_model(folder)


def test_a_missing_or_broken_tokenizer_is_a_sentence(folder: Path) -> None:
    with pytest.raises(ModelError, match="random weights and no tokenizer"):
        _ = load_model("random:tiny").tokenizer
    with pytest.raises(ModelError, match=r"tokenizer\.json is missing"):
        _ = load_model(folder).tokenizer
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read"):
        _ = load_model(folder).tokenizer
