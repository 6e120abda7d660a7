"""transformers' batched `generate` as a child process: the Python of another environment runs this
file by its path.

    python bench_transformers.py FOLDER THREADS

A line of JSON per workload comes in ({"prompts": [[...], ...], "max_new": [...]}), one goes out
({"seconds": ..., "outputs": [[...], ...]}); the first line out tells the version. One batch of
everybody with left padding, until the longest is done, is the best that `generate` offers. This
file imports nothing of the engine.
"""

import json
import sys
import time
from typing import Any

import torch
import transformers


def serve(network: Any, prompts: list[list[int]], max_new: list[int]) -> dict[str, Any]:
    """Greedy outputs of one batch, EOS ignored, and the seconds that it took."""
    width = max(map(len, prompts))
    rows = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    began = time.perf_counter()
    said = network.generate(rows, attention_mask=mask, max_new_tokens=max(max_new), do_sample=False)
    seconds = time.perf_counter() - began
    texts = said[:, width:].tolist()
    return {
        "seconds": seconds,
        "outputs": [text[:count] for text, count in zip(texts, max_new, strict=True)],
    }


def main() -> None:
    """Serve workloads until the input ends."""
    torch.set_num_threads(int(sys.argv[2]))
    network = transformers.AutoModelForCausalLM.from_pretrained(
        sys.argv[1], dtype=torch.float32
    ).eval()
    network.generation_config.eos_token_id = None
    network.generation_config.pad_token_id = 0
    print(json.dumps({"version": transformers.__version__}), flush=True)
    for line in sys.stdin:
        print(json.dumps(serve(network, **json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
