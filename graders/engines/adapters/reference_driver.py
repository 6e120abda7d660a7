"""Our engine, with the parts that the job names.

job["parts"]: paths by slot; job["speculate"]: who guesses, "medusa" (the waiter's heads, stretched
where the model is a stretched waiter), "draft" or "eagle"; job["always"]: not only while it pays.
"""

import gc
from dataclasses import replace
from typing import Any

import torch

from reference_engine.arithmetic import Arithmetic
from reference_engine.engine import Engine
from reference_engine.guessers import speculator_for
from reference_engine.kv_dtype import KVDtype
from reference_engine.model import Model
from reference_engine.model_loader import load_model
from reference_engine.naive import parts as naive_parts
from reference_engine.parts import Parts, load_part

TORCH = {"q8_0": "float32"}
"""What the checkpoint of a dtype that torch does not have is read as: it is stored as int8 where it holds it."""


class Reference:
    """One engine, made anew whenever its prefixes are to be forgotten."""

    def __init__(self, job: dict[str, Any]) -> None:
        torch.set_num_threads(job["threads"])
        self._job, self._arithmetic = job, Arithmetic(job.get("arithmetic", Arithmetic.FP32.value))
        self._kv_dtype = KVDtype(job.get("kv_dtype", KVDtype.FP32.value))
        self._model = load_model(
            job["model"],
            device=job["device"],
            dtype=getattr(torch, TORCH.get(job["dtype"], job["dtype"])),
        )
        loaded = {slot: load_part(path, slot) for slot, path in job["parts"].items()}
        self._parts = Parts(**loaded) if loaded else naive_parts()
        if not job["prefix_cache"]:
            self._parts = replace(self._parts, prefix_cache=None)
        self._speculator = self._speculating(job.get("speculate") or "plain")
        self.version = "the solutions" if job["parts"] else "naive parts"
        self.flags = {
            "dtype": job["dtype"],
            "arithmetic": self._arithmetic.value,
            "kv_dtype": self._kv_dtype.value,
            "threads": job["threads"],
            "block_size": job["block_size"],
            "blocks": job["kv_tokens"] // job["block_size"],
            "watermark": job.get("watermark", 0),
            "prefix_cache": self._parts.prefix_cache is not None,
            "medusa": job.get("speculate") == "medusa",
        }
        self.flush()
        gc.freeze()

    def _speculating(self, who: str) -> Any:
        # a race is between ways to guess: EAGLE grows its own trees
        parts = replace(self._parts, draft_tree=None)
        thrifty = not self._job.get("always")
        return speculator_for(
            who, self._model, parts, thrifty=thrifty, measured=True, waiter=_waiter(self._model)
        )

    def loaded(self) -> dict[str, Any]:
        """Parameters and dtype of what is in memory."""
        distinct = {weight.data_ptr(): weight for weight in self._model.weights.values()}.values()
        if self._job["dtype"] in TORCH and self._model.quantized:
            return {
                "parameters": sum(weight.numel() for weight in distinct),
                "dtype": self._job["dtype"],
            }
        dtypes = sorted({str(weight.dtype).removeprefix("torch.") for weight in distinct})
        return {"parameters": sum(weight.numel() for weight in distinct), "dtype": "+".join(dtypes)}

    def serve(
        self, requests: list[tuple[list[int], int, float]], clock: Any
    ) -> tuple[list[Any], list[Any]]:
        """The tokens of every request, and when each was said."""
        engine = self._engine
        outputs: list[list[int]] = [[] for _ in requests]
        times: list[list[float]] = [[] for _ in requests]
        order = sorted(range(len(requests)), key=lambda index: requests[index][2])
        known: dict[int, int] = {}
        while order or not engine.idle:
            if engine.idle and order:
                clock.wait(requests[order[0]][2])
            while order and requests[order[0]][2] <= clock():
                index = order.pop(0)
                known[engine.add(requests[index][0], requests[index][1])] = index
            events = engine.step()
            now = clock()
            for event in events:
                outputs[known[event.id]] += event.tokens
                times[known[event.id]] += [now] * len(event.tokens)
        return outputs, times

    def flush(self) -> None:
        """A new engine, its prefix cache and its pool empty."""
        self._engine = Engine(
            self._model,
            self._parts,
            num_blocks=self._job["kv_tokens"] // self._job["block_size"] + 1,
            block_size=self._job["block_size"],
            max_seqs=self._job["max_seqs"],
            watermark=self._job.get("watermark", 0),
            speculator=self._speculator,
            arithmetic=self._arithmetic,
            kv_dtype=self._kv_dtype,
        )


def _waiter(model: Model) -> Model:
    """What guessers were trained for; the job's model is a checkpoint of it, perhaps in a larger
    shape."""
    return load_model("waiter", device=model.device, dtype=model.dtype)


def start(job: dict[str, Any]) -> Reference:
    """Load the model."""
    return Reference(job)
