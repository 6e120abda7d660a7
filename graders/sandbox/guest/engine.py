"""Driver of the real engine inside the worker: the parts that were loaded, a real model, whole
requests.

What is not loaded is naive; without a prefix cache there is none.
  new    model, engine: keywords of the Engine
  samples  prompt, max_new, n, seed: [outputs of so many samples of the prompt, counters], see SAMPLED
"""

import torch

from reference_engine.engine import Engine
from reference_engine.model_loader import load_model
from reference_engine.sampler import Sampling

from .engine_parts import engine_parts

THREADS = 2
SAMPLED = ("computed", "copies", "peak_blocks", "preemptions")

torch.set_num_threads(min(THREADS, torch.get_num_threads()))
WAITER = load_model("waiter")


def new(worker_parts, args, keywords):
    model, engine = args
    parts = engine_parts(worker_parts.parts)
    return Engine(WAITER if model == "waiter" else load_model(model), parts, **engine)


def call(part, method, args):
    return {"samples": samples}[method](part, *args)


def samples(engine, prompt, max_new, n, seed):
    first = engine.add(prompt, max_new, Sampling(temperature=1.0, seed=seed), n=n)
    outputs: list = [[] for _ in range(n)]
    while not engine.idle:
        for event in engine.step():
            outputs[event.id - first] += event.tokens
    return [outputs, [getattr(engine.metrics, name) for name in SAMPLED]]
