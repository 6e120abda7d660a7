"""Driver of exercise 4 inside the worker: how the five functions are called, tensors crossing as
plain lists.

A tensor crosses as in `guest.tensors`, a tree as [parent, depth, rank, mask], a verdict as [count,
nodes, next]. What a function returned comes back in the same form, by exact type; what comes beside
it is told by `guest.tensors.call`.

One more method is no function of the part: `serve` runs the real engine with it. Its only argument
is a dict:
  model      "waiter" or [name of a shape, seed, sizes that differ]
  guesses    "heads" (the waiter's own), or for each request a list: item n are the guesses [H][K] of the heads when n
             tokens have been said; None: no speculation, the part is not used
  choices    paths of the tree, or None: the one stored beside the heads
  engine     keywords of the Engine
  requests   [prompt, max_new, eos] each
  arrivals   how many requests are there before step 0, 1, ...; the rest come after the last
  asks       whether passes are asked for (`asking_runner`) instead of made here
and it answers [outputs, counters]: counters are steps, decodes, emitted, accepted, preemptions,
cached, and the microseconds spent in the part and in all, by this process's own clock: for figures,
never for a verdict.
"""

import gc
import time

import torch

from . import tensors
from .engine_parts import engine_parts
from .tensors import LoadedPart, plain_tensor, plain_tensors, tensor

torch.set_num_threads(1)


def new(worker_parts, args, keywords):
    return LoadedPart(worker_parts.parts["medusa"], worker_parts.parts, worker_parts.line)


def watch(worker_parts, part, wanted):
    return None


def call(part, method, args):
    """Call `method` of the module, see `guest.tensors.call`."""
    if method == "serve":
        return serve(part, **args[0])
    return tensors.call(FORMS, part, method, args)


def _choices(choices, form):
    """form: "list" or "tuple", in which the choices come."""
    return {"choices": {"list": list, "tuple": tuple}[form](map(tuple, choices))}


def _propose(tree, root, topk):
    return {"tree": _tree(tree), "root": tensor(root), "topk": tensor(topk)}


def _greedy(tree, tokens, argmax):
    return {"tree": _tree(tree), "tokens": tensor(tokens), "argmax": tensor(argmax)}


def _typical(tree, tokens, logits, rule, seed, unrelated):
    """seed: None, or a generator's seed and how many numbers it has given before. `unrelated` seeds
    the global generator, which the part must not use."""
    torch.manual_seed(unrelated)
    # a number that JSON has none for is a text
    keywords: dict = {name: float(number) for name, number in rule.items()}
    if seed is not None:
        keywords["generator"] = torch.Generator().manual_seed(seed[0])
        torch.rand(seed[1], generator=keywords["generator"])
    return {
        "tree": _tree(tree),
        "tokens": tensor(tokens),
        "logits": tensor(logits),
        "keywords": keywords,
    }


def _compact(verdict, slots):
    from reference_engine.slots import Verdict

    return {"verdict": Verdict(*map(tensor, verdict)), "slots": tensor(slots)}


def _tree(data):
    from reference_engine.slots import Tree

    return Tree(*map(tensor, data))


def _plain_tree(tree):
    return plain_tensors((tree.parent, tree.depth, tree.rank, tree.mask))


def _plain_verdict(verdict):
    return plain_tensors((verdict.count, verdict.nodes, verdict.next))


FORMS: dict = {
    "build_tree": (_choices, _plain_tree),
    "propose": (_propose, plain_tensor),
    "verify_greedy": (_greedy, _plain_verdict),
    "verify_typical": (_typical, _plain_verdict),
    "compact": (_compact, plain_tensors),
}


# ---------------------------------------------------------------- the real engine

MODELS: dict = {}


class ScriptedGuesses:
    """Guesses written down beforehand, by request and number of tokens said."""

    def __init__(self, guesses):
        self.guesses = guesses
        self.said = {}

    def guess(self, told, hidden, count):
        for one in told:
            self.said[one.id] = self.said.get(one.id, 0) + len(one.tokens)
        return torch.tensor([self._after(one.id) for one in told])[:, :, :count]

    def _after(self, id):
        """What is guessed now; a guess that stood may have gone beyond the end of the text."""
        script = self.guesses[id]
        return script[min(self.said[id], len(script) - 1)]

    def forget(self, id):
        self.said.pop(id, None)


class TimedPart:
    """The part, its time kept."""

    def __init__(self, module):
        self.module = module
        self.seconds = 0.0

    def __getattr__(self, name):
        function = getattr(self.module, name)

        def timed(*args, **keywords):
            began = time.perf_counter()
            try:
                return function(*args, **keywords)
            finally:
                self.seconds += time.perf_counter() - began

        return timed


def serve(part, model, guesses, choices, engine, requests, arrivals, asks=False):
    loaded, watched = model_of(model), TimedPart(part.module)
    speculator = _speculator(loaded, watched, guesses, choices)
    parts = engine_parts(part.parts, medusa=speculator and watched)
    return served(
        loaded, parts, speculator, watched, engine, requests, arrivals, part.line if asks else None
    )


def served(model, parts, speculator, watched, engine, requests, arrivals, line=None):
    """Run an engine to the end; what `serve` answers. line: where its passes are asked for."""
    from reference_engine.engine import Engine

    from .asking_runner import asking_engine

    made = Engine if line is None else asking_engine(line, whole=True)
    running = made(model, parts, speculator=speculator, **engine)
    outputs: dict = {}
    arrivals, coming = list(arrivals), [tuple(each) for each in requests]
    decodes, talking, said, metrics = 0, 0.0, 0, running.metrics
    while coming or not running.idle:
        for _ in range(min(arrivals.pop(0), len(coming)) if arrivals else len(coming)):
            prompt, max_new, eos, *sampling = coming.pop(0)
            outputs[running.add(prompt, max_new, *sampling, eos=eos)] = []
        before, began = (metrics.computed - metrics.chunks, watched.seconds), time.perf_counter()
        events = running.step()
        if metrics.computed - metrics.chunks == before[0]:  # nobody read a prompt
            talking += time.perf_counter() - began
            said += sum(len(event.tokens) for event in events)
        else:
            watched.seconds = before[1]
        for event in events:
            decodes += bool(outputs[event.id])
            outputs[event.id] += event.tokens
    counters = [
        metrics.steps,
        decodes,
        metrics.emitted,
        metrics.accepted,
        metrics.preemptions,
        metrics.cached,
    ]
    return [
        list(outputs.values()),
        [*counters, round(watched.seconds * 1e6), round(talking * 1e6), said],
    ]


def model_of(name):
    from reference_engine.llama.config import SHAPES
    from reference_engine.model import random_model
    from reference_engine.model_loader import load_model

    key = repr(name)
    if key not in MODELS:
        if type(name) is str:
            MODELS[key] = load_model(name)
            gc.collect()
            # it is timed: else the collector walks through torch itself again and again
            gc.freeze()
        else:
            import dataclasses

            shape, seed, sizes = name
            MODELS[key] = random_model(dataclasses.replace(SHAPES[shape], **sizes), seed)
    return MODELS[key]


def _speculator(model, module, guesses, choices):
    if guesses is None:
        return None
    from reference_engine.medusa import HEADS
    from reference_engine.medusa.heads import load_heads
    from reference_engine.medusa.speculator import MedusaSpeculator
    from reference_engine.medusa.tree_search import TreeChoice, tree_for

    guesser = load_heads(HEADS, model) if guesses == "heads" else ScriptedGuesses(guesses)
    tree = (
        TreeChoice(tuple(map(tuple, choices)), (0.0,) * len(choices))
        if choices
        else tree_for("cpu", HEADS)
    )
    return MedusaSpeculator(module, guesser, tree)
