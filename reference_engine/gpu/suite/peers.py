"""vLLM and SGLang on the same loads, where they are installed: each in a process of its own, on the same checkpoint.

The requests, lengths and checkpoint are the reference engine's; greedy, EOS ignored, no detokenising, prefix caches off
for loads without a shared beginning. An answer of another length than asked voids the run.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from reference_engine.gpu.suite.card import Outcome, Row, Section
from reference_engine.gpu.suite.room import Room
from reference_engine.gpu.suite.throughput import DRY, LOADS, REPEATS, Load
from reference_engine.llama.config import LlamaConfig
from reference_engine.llama.weights import save
from reference_engine.model import random_model

LIMIT = 400
"""Seconds that one engine may take for one model, its start included."""

DRIVERS = {
    "vllm": """
def start(job):
    from vllm import LLM, SamplingParams
    from vllm.inputs import TokensPrompt
    llm = LLM(job["model"], dtype="bfloat16", skip_tokenizer_init=True, enable_prefix_caching=job["shared"],
              max_num_seqs=job["seats"], max_model_len=job["length"], gpu_memory_utilization=0.6)
    def serve(prompts, answers):
        params = [SamplingParams(temperature=0.0, max_tokens=n, ignore_eos=True, detokenize=False) for n in answers]
        outputs = llm.generate([TokensPrompt(prompt_token_ids=p) for p in prompts], params, use_tqdm=False)
        return [len(output.outputs[0].token_ids) for output in outputs]
    return serve
""",
    "sglang": """
def start(job):
    import sglang
    engine = sglang.Engine(model_path=job["model"], dtype="bfloat16", skip_tokenizer_init=True, mem_fraction_static=0.6,
                           disable_radix_cache=not job["shared"], max_running_requests=job["seats"],
                           context_length=job["length"], attention_backend=job["attention"], log_level="error")
    def serve(prompts, answers):
        params = [{"temperature": 0.0, "max_new_tokens": n, "ignore_eos": True} for n in answers]
        outputs = engine.generate(input_ids=prompts, sampling_params=params)
        return [len(output["output_ids"]) for output in outputs]
    return serve
""",
}
"""How each is started; what `start` returns serves prompts and tells the lengths of the answers."""
TIMING = """
import json, sys, time
{driver}
if __name__ == "__main__":  # both start further processes that import this file
    job = json.loads(open(sys.argv[1]).read())
    serve = start(job)
    speeds, complete = [], True
    for prompts, answers in job["runs"]:
        began = time.perf_counter()
        told = serve(prompts, answers)
        speeds.append(sum(told) / (time.perf_counter() - began))
        complete &= told == answers
    print("RESULT " + json.dumps({{"speeds": speeds[1:], "complete": complete}}), flush=True)
"""


def measure(room: Room, name: str) -> Section:
    """One row a model and load of one peer."""
    if importlib.util.find_spec(name) is None:
        return Section(name, Outcome.SKIPPED, f"{name} is not installed here")
    rows: list[Row] = []
    for shape, config in room.shapes.items():
        with tempfile.TemporaryDirectory() as folder:
            model = random_model(config, device=room.device, dtype=torch.bfloat16)
            save(Path(folder), config, model.weights)
            del model
            if room.device.type == "cuda":
                torch.cuda.empty_cache()
            for load in DRY if room.dry else LOADS:
                if room.left < 0:
                    return Section(name, Outcome.SKIPPED, "no time left", tuple(rows))
                row: Row = {"model": shape, "load": load.name}
                rows.append(row | _run(room, name, Path(folder), config, load))
    wrong = [row for row in rows if not row["complete"]]
    message = f"{len(wrong)} of {len(rows)} runs broke off or gave answers of a wrong length" if wrong else ""
    return Section(name, Outcome.FAIL if wrong else Outcome.PASS, message, tuple(rows))


def _run(room: Room, name: str, folder: Path, config: LlamaConfig, load: Load) -> Row:
    """Tokens a second of one load, the median of the counted runs."""
    runs = [load.requests(room, config.vocab, turn) for turn in range(1 + (1 if room.dry else REPEATS))]
    job = {
        "model": str(folder),
        "shared": load.shared > 0,
        "seats": load.guests,
        "length": load.shared + load.prompts[1] + load.answers[1] + 16,
        "attention": "triton",
        "runs": [([one.prompt for one in run], [one.max_new for one in run]) for run in runs],
    }
    (folder / "job.json").write_text(json.dumps(job))
    (folder / "driver.py").write_text(TIMING.format(driver=DRIVERS[name]))
    command = [sys.executable, str(folder / "driver.py"), str(folder / "job.json")]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=min(LIMIT, max(room.left, 1)))
    except subprocess.TimeoutExpired:
        return {"tokens_s": None, "complete": False, "why": "it took too long"}
    told = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if told is None:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return {"tokens_s": None, "complete": False, "why": last[:200]}
    result = json.loads(told.removeprefix("RESULT "))
    speeds = sorted(result["speeds"])
    return {"tokens_s": speeds[len(speeds) // 2], "complete": result["complete"], "why": ""}
