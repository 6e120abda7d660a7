"""vLLM and SGLang on the same loads, where they are installed: each in a process of its own, on the
same checkpoint.

The requests, lengths and checkpoint are the reference engine's; greedy, EOS ignored, no
detokenising, prefix caches off for loads without a shared beginning. An answer of another length
than asked voids the run, and so does an engine that holds something else than the checkpoint: it
counts its parameters itself, and its process computes the digest.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from reference_engine.gpu.suite.card import Row, Section, SectionOutcome
from reference_engine.gpu.suite.engines import DeviceSizes
from reference_engine.gpu.suite.throughput import DRY, LOADS, REPEATS, Load
from reference_engine.llama.config import LlamaConfig
from reference_engine.llama.weights import save
from reference_engine.model import random_model
from reference_engine.peers import loaded_weights, reasons

BESIDE = Path(loaded_weights.__file__).parent
"""What the drivers import by name, in every process that they start."""
LIMIT = 400
"""Seconds that one engine may take for one model, its start included."""

DRIVERS = {
    "vllm": """
def start(job):
    from vllm import LLM, SamplingParams
    from vllm.inputs import TokensPrompt
    llm = LLM(job["model"], dtype="bfloat16", skip_tokenizer_init=True, enable_prefix_caching=job["shared"],
              max_num_seqs=job["seats"], max_model_len=job["length"], gpu_memory_utilization=0.6,
              worker_extension_cls="loaded_weights.Reporter")
    def serve(prompts, answers):
        params = [SamplingParams(temperature=0.0, max_tokens=n, ignore_eos=True, detokenize=False) for n in answers]
        outputs = llm.generate([TokensPrompt(prompt_token_ids=p) for p in prompts], params, use_tqdm=False)
        return [len(output.outputs[0].token_ids) for output in outputs]
    return serve, llm.collective_rpc("loaded_weights")[0]
""",
    "sglang": """
def start(job):
    import os, sglang_scheduler
    from sglang.srt.entrypoints.engine import Engine
    class Telling(Engine):
        run_scheduler_process_func = staticmethod(sglang_scheduler.run)
    os.environ[sglang_scheduler.TOLD] = job["told"]
    engine = Telling(model_path=job["model"], dtype="bfloat16", skip_tokenizer_init=True, mem_fraction_static=0.6,
                           disable_radix_cache=not job["shared"], max_running_requests=job["seats"],
                           context_length=job["length"], attention_backend=job["attention"], log_level="error")
    def serve(prompts, answers):
        params = [{"temperature": 0.0, "max_new_tokens": n, "ignore_eos": True} for n in answers]
        outputs = engine.generate(input_ids=prompts, sampling_params=params)
        return [len(output["output_ids"]) for output in outputs]
    return serve, json.loads(open(job["told"]).read())
""",
}
"""How each is started; what `start` returns serves prompts and tells the lengths of the answers,
and says what it has loaded."""
TIMING = """
import json, sys, time
import loaded_weights
{driver}
if __name__ == "__main__":  # both start further processes that import this file
    job = json.loads(open(sys.argv[1]).read())
    serve, held = start(job)
    held["weights"] = loaded_weights.digest(job["model"])
    speeds, complete = [], True
    for prompts, answers in job["runs"]:
        began = time.perf_counter()
        told = serve(prompts, answers)
        speeds.append(sum(told) / (time.perf_counter() - began))
        complete &= told == answers
    print("RESULT " + json.dumps({{"speeds": speeds[1:], "complete": complete, "held": held}}), flush=True)
"""


def measure(target: DeviceSizes, name: str) -> Section:
    """One row a model and load of one opponent."""
    if importlib.util.find_spec(name) is None:
        return Section(name, SectionOutcome.SKIPPED, f"{name} is not installed here")
    rows: list[Row] = []
    for shape, config in target.shapes.items():
        with tempfile.TemporaryDirectory() as folder:
            model = random_model(config, device=target.device, dtype=torch.bfloat16)
            save(Path(folder), config, model.weights)
            del model
            if target.device.type == "cuda":
                torch.cuda.empty_cache()
            for load in DRY if target.dry else LOADS:
                if target.left < 0:
                    return Section(name, SectionOutcome.SKIPPED, "no time left", tuple(rows))
                row: Row = {"model": shape, "load": load.name}
                rows.append(row | _run(target, name, Path(folder), config, load))
    wrong = [row for row in rows if not row["complete"]]
    told = "runs broke off, gave answers of a wrong length or served another model"
    message = f"{len(wrong)} of {len(rows)} {told}" if wrong else ""
    return Section(
        name, SectionOutcome.FAIL if wrong else SectionOutcome.PASS, message, tuple(rows)
    )


def _run(target: DeviceSizes, name: str, folder: Path, config: LlamaConfig, load: Load) -> Row:
    """Tokens a second of one load, the median of the counted runs."""
    runs = [
        load.requests(target, config.vocab, turn)
        for turn in range(1 + (1 if target.dry else REPEATS))
    ]
    job = {
        "model": str(folder),
        "shared": load.shared > 0,
        "seats": load.count,
        "length": load.shared + load.prompts[1] + load.answers[1] + 16,
        "attention": "triton",
        "told": str(folder / "loaded.json"),
        "runs": [([one.prompt for one in run], [one.max_new for one in run]) for run in runs],
    }
    (folder / "job.json").write_text(json.dumps(job))
    (folder / "driver.py").write_text(TIMING.format(driver=DRIVERS[name]))
    command = [sys.executable, str(folder / "driver.py"), str(folder / "job.json")]
    limit, paths = (
        min(LIMIT, max(target.left, 1)),
        [str(BESIDE), *filter(None, [os.environ.get("PYTHONPATH")])],
    )
    settings = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=settings)
    except subprocess.TimeoutExpired:
        return _void("it took too long")
    told = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if told is None:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return _void(reasons.last(done.stderr) or lines[-1][:200])
    result = json.loads(told.removeprefix("RESULT "))
    held, speeds = result["held"], sorted(result["speeds"])
    due = {
        "parameters": config.parameters,
        "dtype": "bfloat16",
        "weights": loaded_weights.digest(folder),
    }
    if held != due:
        return _void(f"it serves another model: {_said(held)}, it was given {_said(due)}")
    return {
        "tokens_s": speeds[len(speeds) // 2],
        "complete": result["complete"],
        "why": "",
        "parameters": held["parameters"],
        "dtype": held["dtype"],
    }


def _void(why: str) -> Row:
    """The row of a run that does not count."""
    return {"tokens_s": None, "complete": False, "why": why, "parameters": None, "dtype": None}


def _said(held: dict[str, Any]) -> str:
    digest = str(held.get("weights"))[:12]
    return f"{held.get('parameters')} parameters in {held.get('dtype')}, weights {digest}"
