"""Driver of the timed engine inside the worker: the parts that were loaded, whole traces.

It keeps no clock, and computes no pass and no guess: those are asked for (`asking_runner`). What is
not loaded is naive; a prefix cache and guesses take part when they are loaded and asked for.
  new    model, cached, guesses: keywords of the Engine    a fresh engine, nothing in its memory
  serve  requests [prompt, max_new]                        their outputs, in order
  steps  requests [prompt, max_new] that have just come,   steps of the engine until so many are made, or all are served
         how many steps (0: all that it takes)             (one at least): [[index, tokens] …, idle]
  peak   effort                                          operations a second, as `reference_engine.ceilings` measures;
                                                           multiply-adds that a token needs at
                                                           least; how many more it needs if the
                                                           model is to say what comes after it
"""

import gc

import torch

from reference_engine.ceilings import measure_peak
from reference_engine.model_loader import load_model
from reference_engine.roofline import token_work
from reference_engine.slots import Request

from .asking_runner import AskingHeads, asking_engine
from .engine_parts import engine_parts

MODELS: dict = {}
COSTS: dict = {}


class ServedEngine:
    """An engine and the outputs of its requests."""

    def __init__(self, model, engine):
        self.model = model
        self.engine = engine
        self.requests: dict = {}


def new(worker_parts, args, keywords):
    name, cached, guesses = args
    model = loaded(name)
    parts = engine_parts(worker_parts.parts, **({} if cached else {"prefix_cache": None}))
    speculator = speculator_of(worker_parts, name) if guesses else None
    engine = asking_engine(worker_parts.line)(model, parts, speculator=speculator, **keywords)
    served = ServedEngine(model, engine)
    gc.collect()
    gc.freeze()
    return served


def loaded(name):
    if name not in MODELS:
        MODELS[name] = load_model(name)
    return MODELS[name]


def speculator_of(worker_parts, name):
    """What speculation costs here outlives an engine: it belongs to the model."""
    from reference_engine.medusa import HEADS
    from reference_engine.medusa.cost_model import MeasuredCosts
    from reference_engine.medusa.speculator import MedusaSpeculator
    from reference_engine.medusa.tree_search import tree_for

    costs = COSTS.setdefault(name, MeasuredCosts())
    heads, tree = AskingHeads(worker_parts.line), tree_for("cpu", HEADS)
    return MedusaSpeculator(worker_parts.parts["medusa"], heads, tree, cost_model=costs)


def call(served, method, args):
    return CALLS[method](served, *args)


def serve(served, requests):
    asked = [Request(id, prompt, max_new) for id, (prompt, max_new) in enumerate(requests)]
    return served.engine.generate(asked)


def steps(served, arrived, most):
    engine = served.engine
    for prompt, max_new in arrived:
        served.requests[engine.add(prompt, max_new)] = len(served.requests)
    said: dict = {}
    made = 0
    while not made or (made != most and not engine.idle):
        for event in engine.step():
            said.setdefault(served.requests[event.id], []).extend(event.tokens)
        made += 1
    return [list(said.items()), engine.idle]


def peak(served, effort):
    config = served.model.config
    work = token_work(config)
    best = measure_peak(config, threads=torch.get_num_threads(), effort=effort)
    return [int(best), work.least, work.more]


CALLS: dict = {"serve": serve, "steps": steps, "peak": peak}
