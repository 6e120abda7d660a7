"""The adapters, as far as they can be tried without the engines: the GGUF file, Ollama's API, the
stand-ins."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from graders.engines import launch_config
from graders.engines.catalogue import ADAPTERS, KINDS, RACERS
from graders.engines.driver import Driver
from graders.engines.engine_protocol import EngineFailed, EngineFailure
from graders.engines.loaded import Checkpoint, of_model
from graders.workloads import Trace, TraceRequest
from reference_engine.llama.config import SHAPES
from reference_engine.llama.weights import save
from reference_engine.model import random_model, write
from reference_engine.model_loader import load_model
from reference_engine.peers import loaded_weights
from reference_engine.waiter import CHECKPOINT

STAND_INS = Path(__file__).parents[3] / "fakes" / "engines"


@pytest.fixture
def gguf_file(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The adapter's module, with a writer that remembers."""
    monkeypatch.syspath_prepend(str(STAND_INS))
    monkeypatch.syspath_prepend(str(Path(loaded_weights.__file__).parent))
    monkeypatch.delitem(sys.modules, "gguf", raising=False)
    spec = importlib.util.spec_from_file_location("gguf_file", ADAPTERS / "gguf_file.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def written(gguf_file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The writer after the waiter was written."""
    writers: list[Any] = []

    class Remembered(gguf_file.gguf.GGUFWriter):  # type: ignore[misc, name-defined]
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            writers.append(self)

    monkeypatch.setattr(gguf_file.gguf, "GGUFWriter", Remembered)
    gguf_file.write(CHECKPOINT, tmp_path / "model.gguf")
    return writers[0]


def test_every_tensor_is_written_under_its_other_name(written: Any) -> None:
    config = load_model("waiter").config
    assert len(written.tensors) == len(config.shapes())
    assert written.tensors["token_embd.weight"].shape == (config.vocab, config.width)
    assert written.told["add_head_count_kv"] == config.kv_heads
    assert len(written.told["add_token_list"]) == config.vocab


def test_queries_and_keys_are_permuted_and_nothing_else(written: Any) -> None:
    tensors = {
        name: tensor.float() for name, tensor in load_file(CHECKPOINT / "model.safetensors").items()
    }
    config = load_model("waiter").config
    for name, heads in (("q", config.heads), ("k", config.kv_heads)):
        halves = tensors[f"model.layers.1.self_attn.{name}_proj.weight"].view(
            heads, config.head_width, -1
        )
        pairs = torch.from_numpy(written.tensors[f"blk.1.attn_{name}.weight"]).view(
            heads, config.head_width, -1
        )
        half = config.head_width // 2
        assert torch.equal(pairs[:, 0::2], halves[:, :half])
        assert torch.equal(pairs[:, 1::2], halves[:, half:])
    down = torch.from_numpy(written.tensors["blk.0.ffn_down.weight"])
    assert torch.equal(down, tensors["model.layers.0.mlp.down_proj.weight"])


def test_a_model_that_is_no_llama_is_refused(gguf_file: Any, tmp_path: Path) -> None:
    config = json.loads((CHECKPOINT / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "gemma"}))
    with pytest.raises(ValueError, match="'gemma' is not written as GGUF"):
        gguf_file.write(tmp_path, tmp_path / "model.gguf")


def remembered(gguf_file: Any, folder: Path, form: str = "f32") -> Any:
    """What is written of a checkpoint: as JSON, which the stand-in saves."""
    gguf_file.write(folder, folder / "model.gguf", form=form)
    return json.loads((folder / "model.gguf").read_text())


@pytest.mark.parametrize(
    ("form", "matrix", "no_blocks"), [("bf16", "BF16", "BF16"), ("q8_0", "Q8_0", "BF16")]
)
def test_matrices_are_written_in_the_form_asked_for_where_their_rows_allow_it(
    gguf_file: Any, tmp_path: Path, form: str, matrix: str, no_blocks: str
) -> None:
    write(load_model("waiter"), tmp_path)
    kinds = remembered(gguf_file, tmp_path, form)["kinds"]
    assert kinds["blk.0.attn_q.weight"] == kinds["token_embd.weight"] == matrix
    assert kinds["blk.0.ffn_down.weight"] == no_blocks, "rows of 688"
    assert kinds["output_norm.weight"] == kinds["blk.0.attn_norm.weight"] == "F32"


@pytest.mark.parametrize(
    ("name", "dtype"), [("reference", "q8_0"), ("llama.cpp", "q8_0"), ("vllm", "float32")]
)
def test_an_engine_without_the_format_is_given_the_same_weights_in_fp32(
    name: str, dtype: str
) -> None:
    given = Checkpoint(CHECKPOINT, replace(of_model("waiter"), dtype="q8_0"))
    trace = Trace("short", 0, "waiter", (TraceRequest((5, 6), 2),), num_blocks=65, max_seqs=2)
    job = launch_config.job(
        KINDS[name], given, load_model("waiter"), trace, threads=1, engines=1, device="cpu"
    )
    assert job.loaded == replace(given.loaded, dtype=dtype)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_a_checkpoint_of_our_own_is_written_and_lacks_nothing(
    gguf_file: Any, tmp_path: Path, qk_norm: bool
) -> None:
    """A config that names no tokens with a meaning, and no tokenizer."""
    config = replace(SHAPES["tiny"], qk_norm=qk_norm)
    model = random_model(config)
    save(tmp_path, config, model.weights)
    told = remembered(gguf_file, tmp_path)
    assert (
        told["architecture"] == ("qwen3" if qk_norm else "llama")
        and told["add_tokenizer_model"] == "no_vocab"
    )
    assert sum(math.prod(shape) for shape in told["tensors"].values()) == config.parameters
    assert ("blk.0.attn_q_norm.weight" in told["tensors"]) is qk_norm


NEEDED = {
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "model_type",
}


def test_whatever_key_a_config_lacks_gguf_holds_what_transformers_reads(
    gguf_file: Any, tmp_path: Path
) -> None:
    for path in CHECKPOINT.iterdir():
        (tmp_path / path.name).symlink_to(path)
    told = json.loads((CHECKPOINT / "config.json").read_text())
    whole = remembered(gguf_file, tmp_path)
    (tmp_path / "config.json").unlink()
    absent = {
        "max_position_embeddings": {"add_context_length": 2048},
        "rms_norm_eps": {"add_layer_norm_rms_eps": 1e-6},
    }
    absent |= {"num_key_value_heads": {"add_head_count_kv": 8}}
    ids = {"bos_token_id": "add_bos_token_id", "eos_token_id": "add_eos_token_id"}
    for key in told:
        (tmp_path / "config.json").write_text(
            json.dumps({name: told[name] for name in told if name != key})
        )
        if key in NEEDED or key == "tie_word_embeddings":
            with pytest.raises(ValueError, match=f"{key}|None is not written|lm_head"):
                gguf_file.write(tmp_path, tmp_path / "model.gguf")
            continue
        expected = {**whole, **absent.get(key, {})}
        expected.pop(ids.get(key, ""), None)
        assert remembered(gguf_file, tmp_path) == expected, key


def test_several_ends_and_a_head_that_is_tied_all_the_same(gguf_file: Any, tmp_path: Path) -> None:
    config = replace(SHAPES["tiny"], tied=True)
    model = random_model(config)
    save(
        tmp_path,
        config,
        {**model.weights, "lm_head.weight": model.head + 1},
        {"eos_token_id": [2, 3]},
    )
    (tmp_path / "tokenizer.json").write_text((CHECKPOINT / "tokenizer.json").read_text())
    told = remembered(gguf_file, tmp_path)
    assert "output.weight" not in told["tensors"], "llama.cpp would take it for another matrix"
    assert told["add_eos_token_id"] == 2 and "add_bos_token_id" not in told
    with pytest.raises(ValueError, match="names no pad_token_id"):
        gguf_file.write(tmp_path, tmp_path / "model.gguf", endless=True)


@pytest.mark.parametrize(
    ("name", "dtype", "said"),
    [
        (
            "model.layers.0.self_attn.q_proj.bias",
            torch.float32,
            "nobody knows what llama.cpp calls the tensor",
        ),
        ("model.norm.weight", torch.int8, "is of I8: quantised weights are not written as GGUF"),
    ],
)
def test_a_tensor_that_llama_cpp_does_not_take_is_named(
    gguf_file: Any, tmp_path: Path, name: str, dtype: torch.dtype, said: str
) -> None:
    model = random_model("tiny")
    save(tmp_path, model.config, {**model.weights, name: torch.zeros(32, dtype=dtype)})
    with pytest.raises(ValueError, match=said):
        gguf_file.write(tmp_path, tmp_path / "model.gguf")


def ollama() -> Driver:
    """The real adapter with a program that pretends to be Ollama."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    kind = KINDS["ollama"]
    path = f"{STAND_INS}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    kind = replace(
        kind, variables={"OLLAMA_HOST": host, "PYTHONPATH": str(STAND_INS), "PATH": path}
    )
    trace = Trace("short", 0, "waiter", (), num_blocks=65, max_seqs=2)
    given = Checkpoint(CHECKPOINT, of_model("waiter"))
    job = launch_config.job(
        kind, given, load_model("waiter"), trace, threads=1, engines=1, device="cpu"
    )
    return Driver(
        kind, job, command=[sys.executable, str(ADAPTERS / "host.py"), str(kind.path)], timeout=30
    )


def test_ollama_is_given_text_and_its_text_comes_back_as_tokens() -> None:
    words = load_model("waiter").tokenizer
    prompt = tuple(words.encode("Good evening! What is the", add_special_tokens=False).ids)
    requests = (TraceRequest(prompt, 3), TraceRequest(prompt, 2, 0.05))
    with ollama() as engine:
        assert engine.start().version == "0.0-fake"
        served = engine.serve(Trace("short", 0, "waiter", requests, num_blocks=65, max_seqs=2))
        engine.flush()
    assert words.decode(list(served.outputs[0])) == " the the the"
    assert [len(times) for times in served.times] == [3, 2]


def test_text_that_comes_back_as_other_tokens_does_not_count() -> None:
    prompt = tuple(load_model("waiter").tokenizer.encode("zzqx", add_special_tokens=False).ids)
    with ollama() as engine, pytest.raises(EngineFailed) as caught:
        engine.start()
        engine.serve(
            Trace("short", 0, "waiter", (TraceRequest(prompt, 3),), num_blocks=65, max_seqs=2)
        )
    assert caught.value.failure is EngineFailure.OTHER_COUNT


def test_stand_ins_can_be_imported_but_not_used() -> None:
    code = (
        "import sgl_kernel, torchvision.transforms as t\n"
        "from sgl_kernel import fused; mode = t.InterpolationMode.BICUBIC\n"
        "try: fused(1)\nexcept NotImplementedError as error: print(error)"
    )
    folder = str(ADAPTERS / "sglang_stand_ins")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": folder},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("fused is a stand-in"), done.stderr


def test_every_way_to_guess_can_be_raced_and_says_the_same() -> None:
    """Our own engine under four names, which guess whatever the workload is about."""
    from graders.engines.adapters import reference_driver

    job = {
        "threads": 1,
        "model": str(CHECKPOINT),
        "device": "cpu",
        "dtype": "float32",
        "prefix_cache": False,
    }
    job |= {
        "parts": launch_config.parts(launch_config.SOLUTIONS),
        "kv_tokens": 512,
        "block_size": 16,
        "max_seqs": 2,
    }
    said, steps = {}, {}

    def clock() -> float:
        return 0.0

    clock.wait = lambda until: None  # type: ignore[attr-defined]
    for name in ("plain", "draft", "medusa", "eagle"):
        kind = RACERS[name]
        assert (kind.path, kind.drafter, name in KINDS) == (KINDS["reference"].path, name, False)
        engine = reference_driver.start(job | {"speculate": kind.drafter, "always": True})
        said[name], _ = engine.serve([(list(range(5, 45)), 12, 0.0), ([7, 8, 9], 12, 0.0)], clock)
        steps[name] = engine._engine.metrics.steps
    assert all(outputs == said["plain"] for outputs in said.values())
    assert all(steps[name] <= steps["plain"] for name in steps)
    assert set(steps) <= set(launch_config.TOKENS_A_STEP)
