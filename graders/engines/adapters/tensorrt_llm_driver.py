"""TensorRT-LLM through its LLM API, one asynchronous stream a request. Written from its
documentation (1.x)."""

import asyncio
import os
from typing import Any

import loaded_weights  # type: ignore[import-not-found, unused-ignore]  # beside the host


class TensorRtLlm:
    """One `LLM` with the PyTorch backend."""

    def __init__(self, job: dict[str, Any]) -> None:
        # so that its model can be asked what it holds
        os.environ["TLLM_WORKER_USE_SINGLE_PROCESS"] = "1"
        import tensorrt_llm  # type: ignore[import-not-found, unused-ignore]
        from tensorrt_llm import LLM, SamplingParams
        from tensorrt_llm.llmapi import KvCacheConfig  # type: ignore[import-not-found, unused-ignore]

        if job["device"] == "cpu":
            raise ValueError("TensorRT-LLM needs an NVIDIA GPU")
        cache = KvCacheConfig(max_tokens=job["kv_tokens"], enable_block_reuse=job["prefix_cache"])
        self._llm: Any = LLM(
            model=job["model"],
            dtype=job["dtype"],
            skip_tokenizer_init=True,
            max_batch_size=job["max_seqs"],
            max_seq_len=job["max_len"],
            kv_cache_config=cache,
        )
        self._parameters = SamplingParams
        self.version = tensorrt_llm.__version__
        self.flags = {
            "dtype": job["dtype"],
            "max_batch_size": job["max_seqs"],
            "kv_tokens": job["kv_tokens"],
            "block_reuse": job["prefix_cache"],
            "flush": "not offered",
        }

    def loaded(self) -> dict[str, Any]:
        """Parameters and dtype of the module that its worker in this process holds."""
        model = self._llm._executor.engine.model_engine.model
        return loaded_weights.held(model)  # type: ignore[no-any-return, unused-ignore]

    def serve(
        self, requests: list[tuple[list[int], int, float]], clock: Any
    ) -> tuple[list[Any], list[Any]]:
        """The tokens of every request, and when each was said."""
        served = asyncio.run(self._serve_all(requests, clock))
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
        parameters = self._parameters(
            max_tokens=max_new,
            top_k=1,
            temperature=0.0,
            ignore_eos=True,
            end_id=-1,
            pad_id=0,
            detokenize=False,
        )
        tokens: list[int] = []
        times: list[float] = []
        async for said in self._llm.generate_async(
            {"prompt_token_ids": prompt}, parameters, streaming=True
        ):
            fresh = said.outputs[0].token_ids[len(tokens) :]
            tokens += fresh
            times += [clock()] * len(fresh)
        return tokens, times

    def flush(self) -> None:
        """Its API has no way to forget prefixes; blocks are reused when the memory is needed."""

    def stop(self) -> None:
        """End its processes."""
        self._llm.shutdown()


def start(job: dict[str, Any]) -> TensorRtLlm:
    """Load the model."""
    return TensorRtLlm(job)
