"""transformers: batched `generate`, padded on the left, its static KV memory being what a batch
reserves.

Requests are taken in order of arrival, as many to a batch as fit into the seats and the KV budget,
every batch until its longest answer is done; what a request did not ask for is cut off.
"""

from typing import Any

import loaded_weights  # type: ignore[import-not-found, unused-ignore]  # beside the host
import torch
import transformers
from transformers.generation.streamers import BaseStreamer


class Watch(BaseStreamer):  # type: ignore[misc, unused-ignore]
    """Notes when every step's tokens came."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self.times: list[float] = []

    def put(self, value: Any) -> None:
        self.times.append(self._clock())

    def end(self) -> None:
        """Nothing to do."""


class Transformers:
    """One model."""

    def __init__(self, job: dict[str, Any]) -> None:
        torch.set_num_threads(job["threads"])
        transformers.logging.set_verbosity_error()
        dtype = getattr(torch, job["dtype"])
        self._device, self._job = job["device"], job
        network = transformers.AutoModelForCausalLM.from_pretrained(job["model"], dtype=dtype)
        self._network: Any = network.eval().to(self._device)
        self._network.generation_config.eos_token_id = None
        self._network.generation_config.pad_token_id = 0
        self.version = transformers.__version__
        self.flags = {
            "dtype": job["dtype"],
            "threads": torch.get_num_threads(),
            "attention": self._network.config._attn_implementation,
            "torch": torch.__version__,
            "padding": "left",
        }

    def loaded(self) -> dict[str, Any]:
        """Parameters and dtype of what is in memory."""
        return loaded_weights.held(self._network)  # type: ignore[no-any-return, unused-ignore]

    def serve(
        self, requests: list[tuple[list[int], int, float]], clock: Any
    ) -> tuple[list[Any], list[Any]]:
        """The tokens of every request, and when each was said."""
        outputs: list[list[int]] = [[] for _ in requests]
        times: list[list[float]] = [[] for _ in requests]
        order = sorted(range(len(requests)), key=lambda index: requests[index][2])
        while order:
            clock.wait(requests[order[0]][2])
            batch = self._batch(requests, order, clock())
            del order[: len(batch)]
            said, moments = self._generate([requests[index] for index in batch], clock)
            for index, row in zip(batch, said, strict=True):
                wanted = requests[index][1]
                outputs[index], times[index] = row[:wanted], moments[:wanted]
        return outputs, times

    def _batch(
        self, requests: list[tuple[list[int], int, float]], order: list[int], now: float
    ) -> list[int]:
        """Those at the head of the queue that are there and fit together."""
        batch: list[int] = []
        for index in order:
            group = [requests[other] for other in [*batch, index]]
            width = max(len(prompt) for prompt, _, _ in group) + max(
                max_new for _, max_new, _ in group
            )
            full = len(group) > self._job["max_seqs"] or len(group) * width > self._job["kv_tokens"]
            if batch and (full or requests[index][2] > now):
                break
            batch.append(index)
        return batch

    def _generate(
        self, group: list[tuple[list[int], int, float]], clock: Any
    ) -> tuple[list[list[int]], list[float]]:
        width = max(len(prompt) for prompt, _, _ in group)
        longest = max(max_new for _, max_new, _ in group)
        rows = torch.tensor(
            [[0] * (width - len(prompt)) + prompt for prompt, _, _ in group], device=self._device
        )
        mask = torch.tensor(
            [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt, _, _ in group],
            device=self._device,
        )
        watch = Watch(clock)
        with torch.inference_mode():
            said = self._network.generate(
                rows, attention_mask=mask, max_new_tokens=longest, do_sample=False, streamer=watch
            )
        return said[:, width:].tolist(), watch.times[1:]  # the first call brings the prompts

    def flush(self) -> None:
        """Nothing is kept between two batches."""


def start(job: dict[str, Any]) -> Transformers:
    """Load the model."""
    return Transformers(job)
