"""SGLang: its offline engine, one asynchronous stream a request.

On a CPU without its kernels it runs its fallback path (plain torch attention); a figure from there
must say so.
"""

import asyncio
import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import sglang_scheduler  # type: ignore[import-not-found, unused-ignore]  # beside the host


class Sglang:
    """One `Engine`."""

    def __init__(self, job: dict[str, Any]) -> None:
        if job["device"] == "cpu":
            self._stand_in(job)
        import sglang
        from sglang.srt.entrypoints.engine import Engine

        class Telling(Engine):  # type: ignore[misc, unused-ignore]
            """Its scheduler writes down what it has loaded."""

            run_scheduler_process_func = staticmethod(sglang_scheduler.run)

        self._told = Path(tempfile.mkdtemp(prefix="course-sglang-")) / "loaded.json"
        os.environ[sglang_scheduler.TOLD] = str(self._told)
        settings = {
            "model_path": job["model"],
            "dtype": job["dtype"],
            "skip_tokenizer_init": True,
            "disable_radix_cache": not job["prefix_cache"],
            "max_running_requests": job["max_seqs"],
            "max_total_tokens": job["kv_tokens"],
            "context_length": job["max_len"],
            "device": job["device"],
            "log_level": "error",
            "stream_interval": 1,
        }
        if job["device"] == "cpu":
            settings |= {"attention_backend": "torch_native", "disable_cuda_graph": True}
        else:
            settings["mem_fraction_static"] = job["memory_share"]
        self._engine: Any = Telling(**settings)
        self._loop = asyncio.get_event_loop_policy().get_event_loop()
        self.version = sglang.__version__
        told = (
            "dtype",
            "disable_radix_cache",
            "max_running_requests",
            "max_total_tokens",
            "attention_backend",
        )
        self.flags = {name: settings[name] for name in told if name in settings} | {
            "threads": job["threads"]
        }

    def _stand_in(self, job: dict[str, Any]) -> None:
        """What its CPU path asks of the environment, for the processes that it starts too."""
        folder = str(Path(__file__).resolve().parent / "sglang_stand_ins")
        os.environ["PYTHONPATH"] = folder
        os.environ["SGLANG_USE_CPU_ENGINE"] = "1"
        os.environ["SGLANG_CPU_OMP_THREADS_BIND"] = ",".join(map(str, job["cores"]))
        spec = importlib.util.spec_from_file_location("stand_ins", f"{folder}/sitecustomize.py")
        assert spec is not None and spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))

    def loaded(self) -> dict[str, Any]:
        """Parameters and dtype of what is in memory, as its scheduler counted them."""
        told: dict[str, Any] = json.loads(self._told.read_text())
        return told

    def serve(
        self, requests: list[tuple[list[int], int, float]], clock: Any
    ) -> tuple[list[Any], list[Any]]:
        """The tokens of every request, and when each was said."""
        served = self._loop.run_until_complete(self._serve_all(requests, clock))
        return [output for output, _ in served], [times for _, times in served]

    async def _serve_all(
        self, requests: list[tuple[list[int], int, float]], clock: Any
    ) -> list[Any]:
        return await asyncio.gather(*(self._serve_one(request, clock) for request in requests))

    async def _serve_one(
        self, request: tuple[list[int], int, float], clock: Any
    ) -> tuple[list[int], list[float]]:
        prompt, max_new, arrival = request
        if arrival > clock():
            await asyncio.sleep(arrival - clock())
        parameters = {"temperature": 0.0, "max_new_tokens": max_new, "ignore_eos": True}
        tokens: list[int] = []
        times: list[float] = []
        stream = await self._engine.async_generate(
            input_ids=prompt, sampling_params=parameters, stream=True
        )
        async for said in stream:
            now, ids = clock(), said["output_ids"]
            # newer versions send what is new only
            fresh = ids[len(tokens) :] if ids[: len(tokens)] == tokens else ids
            tokens += fresh
            times += [now] * len(fresh)
        return tokens, times

    def flush(self) -> None:
        """Forget the cached prefixes."""
        self._engine.flush_cache()

    def stop(self) -> None:
        """End its processes."""
        self._engine.shutdown()
        shutil.rmtree(self._told.parent, ignore_errors=True)


def start(job: dict[str, Any]) -> Sglang:
    """Load the model."""
    return Sglang(job)
