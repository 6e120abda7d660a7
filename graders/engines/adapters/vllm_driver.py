"""vLLM: its offline engine, stepped by hand so that arrivals and times can be told."""

import os
from typing import Any


class Vllm:
    """One `LLM`."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._device = job["device"]
        settings = self._settings(job)
        import vllm
        from vllm import LLM, SamplingParams
        from vllm.inputs import TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        self._llm: Any = LLM(**settings)
        self._parameters, self._prompt, self._delta = (
            SamplingParams,
            TokensPrompt,
            RequestOutputKind.DELTA,
        )
        self._asked = 0
        self.version = vllm.__version__
        told = (
            "dtype",
            "max_num_seqs",
            "block_size",
            "num_gpu_blocks_override",
            "enable_prefix_caching",
        )
        self.flags = {name: settings[name] for name in told if name in settings} | {
            "threads": job["threads"]
        }
        self.flags["eager"] = settings["enforce_eager"]

    def _settings(self, job: dict[str, Any]) -> dict[str, Any]:
        """Arguments of `LLM`; environment variables are set before vLLM is imported."""
        settings = {
            "model": job["model"],
            "dtype": job["dtype"],
            "skip_tokenizer_init": True,
            "max_model_len": job["max_len"],
            "max_num_seqs": job["max_seqs"],
            "enable_prefix_caching": job["prefix_cache"],
            "enforce_eager": False,
            "disable_log_stats": True,
            "worker_extension_cls": "loaded_weights.Reporter",
        }
        if job["device"] != "cpu":
            block = 16
            settings["gpu_memory_utilization"] = job["memory_share"]
        else:
            block = 32  # its CPU attention asks for a multiple of 32
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
            os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", ",".join(map(str, job["cores"])))
            os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        return settings | {
            "block_size": block,
            "num_gpu_blocks_override": -(-job["kv_tokens"] // block) + 1,
        }

    def loaded(self) -> dict[str, Any]:
        """Parameters and dtype of what is in memory."""
        (told,) = self._llm.collective_rpc("loaded_weights")
        return told  # type: ignore[no-any-return, unused-ignore]

    def serve(
        self, requests: list[tuple[list[int], int, float]], clock: Any
    ) -> tuple[list[Any], list[Any]]:
        """The tokens of every request, and when each was said."""
        engine = self._llm.llm_engine
        outputs: list[list[int]] = [[] for _ in requests]
        times: list[list[float]] = [[] for _ in requests]
        order = sorted(range(len(requests)), key=lambda index: requests[index][2])
        known: dict[str, int] = {}
        while order or engine.has_unfinished_requests():
            if order and not engine.has_unfinished_requests():
                clock.wait(requests[order[0]][2])
            while order and requests[order[0]][2] <= clock():
                known[self._add(engine, requests[order[0]])] = order[0]
                del order[0]
            said = engine.step()
            now = clock()
            for output in said:
                tokens = output.outputs[0].token_ids
                outputs[known[output.request_id]] += tokens
                times[known[output.request_id]] += [now] * len(tokens)
        return outputs, times

    def _add(self, engine: Any, request: tuple[list[int], int, float]) -> str:
        prompt, max_new, _ = request
        parameters = self._parameters(
            temperature=0.0,
            max_tokens=max_new,
            ignore_eos=True,
            detokenize=False,
            output_kind=self._delta,
        )
        self._asked += 1
        name = str(self._asked)
        engine.add_request(name, self._prompt(prompt_token_ids=prompt), parameters)
        return name

    def flush(self) -> None:
        """Forget the cached prefixes."""
        self._llm.reset_prefix_cache()


def start(job: dict[str, Any]) -> Vllm:
    """Load the model."""
    return Vllm(job)
