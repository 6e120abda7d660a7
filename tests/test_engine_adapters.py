"""The adapters, as far as they can be tried without the engines: the GGUF file, Ollama's API, the stand-ins."""

from __future__ import annotations

import importlib.util
import json
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

from graders.engines import jobs
from graders.engines.catalogue import ADAPTERS, KINDS
from graders.engines.driver import Driver
from graders.engines.loaded import Checkpoint, of_model
from graders.engines.served import EngineFailed, Failure
from graders.throughput.workloads import Trace, TraceRequest
from reference_engine.model import load_model
from reference_engine.peers import loaded_weights
from reference_engine.waiter import CHECKPOINT

STAND_INS = Path(__file__).parent / "parts" / "engines"


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
    tensors = {name: tensor.float() for name, tensor in load_file(CHECKPOINT / "model.safetensors").items()}
    config = load_model("waiter").config
    for name, heads in (("q", config.heads), ("k", config.kv_heads)):
        halves = tensors[f"model.layers.1.self_attn.{name}_proj.weight"].view(heads, config.head_width, -1)
        pairs = torch.from_numpy(written.tensors[f"blk.1.attn_{name}.weight"]).view(heads, config.head_width, -1)
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


def ollama() -> Driver:
    """The real adapter with a program that pretends to be Ollama."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    kind = KINDS["ollama"]
    path = f"{STAND_INS}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    kind = replace(kind, variables={"OLLAMA_HOST": host, "PYTHONPATH": str(STAND_INS), "PATH": path})
    trace = Trace("short", 0, "waiter", (), num_blocks=65, max_seqs=2)
    given = Checkpoint(CHECKPOINT, of_model("waiter"))
    job = jobs.job(kind, given, load_model("waiter"), trace, threads=1, rivals=1, device="cpu")
    return Driver(kind, job, command=[sys.executable, str(ADAPTERS / "host.py"), str(kind.path)], patience=30)


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
        engine.serve(Trace("short", 0, "waiter", (TraceRequest(prompt, 3),), num_blocks=65, max_seqs=2))
    assert caught.value.failure is Failure.OTHER_COUNT


def test_stand_ins_can_be_imported_but_not_used() -> None:
    code = (
        "import sgl_kernel, torchvision.transforms as t\n"
        "from sgl_kernel import fused; mode = t.InterpolationMode.BICUBIC\n"
        "try: fused(1)\nexcept NotImplementedError as error: print(error)"
    )
    folder = str(ADAPTERS / "sglang_stand_ins")
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": folder}, capture_output=True, text=True
    )
    assert done.stdout.startswith("fused is a stand-in"), done.stderr
