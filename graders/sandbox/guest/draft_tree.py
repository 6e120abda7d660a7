"""Driver of exercise 6 inside the worker: how the three functions are called.

A tensor crosses as in `guest.tensors`, a growth and a tree as lists of their fields. What a
function returned comes back in the same form; what comes beside it is told by `guest.tensors.call`.

One more method is no function of the part: `serve` runs the real engine with it, as that of
`guest.medusa`, but for
  guesses    "layer" (EAGLE's, trained for the waiter), or for each request a list: item n are [guesses [H][K], their
             logprobs [H][K]] of level after level when n tokens have been said; None: the static
             tree stored beside Medusa's heads, the part is not used
  tree       size, depth, width and guesses of `EagleSpeculator`; with a static tree, {}
"""

import torch

from . import medusa, tensors
from .engine_parts import engine_parts
from .tensors import LoadedPart, plain_tensor, plain_tensors, tensor

torch.set_num_threads(1)


def new(worker_parts, args, keywords):
    return LoadedPart(worker_parts.parts["draft_tree"], worker_parts.parts, worker_parts.line)


def watch(worker_parts, part, wanted):
    return None


def call(part, method, args):
    """Call `method` of the module, see `guest.tensors.call`."""
    if method == "serve":
        return serve(part, **args[0])
    return tensors.call(FORMS, part, method, args)


def bind(part, method):
    """For counting: the code around the function is the driver's, which is left out."""
    return lambda *args: tensors.call(FORMS, part, method, args)


def _growth(data):
    from reference_engine.slots import Growth

    return Growth(*map(tensor, data))


def _frontier(growth, depth, width):
    return {"growth": _growth(growth), "depth": depth, "width": width}


def _grow(growth, chosen, topk_token, topk_logprob):
    given = {"chosen": chosen, "topk_token": topk_token, "topk_logprob": topk_logprob}
    return {"growth": _growth(growth), **{name: tensor(data) for name, data in given.items()}}


def _rerank(growth, root, size):
    return {"growth": _growth(growth), "root": tensor(root), "size": size}


def _plain_growth(growth):
    return plain_tensors((growth.token, growth.parent, growth.depth, growth.value))


def _plain_tree(tree):
    return plain_tensors((tree.token, tree.parent, tree.depth, tree.mask))


FORMS: dict = {
    "frontier": (_frontier, plain_tensor),
    "grow": (_grow, _plain_growth),
    "rerank": (_rerank, _plain_tree),
}


# ---------------------------------------------------------------- the real engine


class ScriptedDrafter:
    """Guesses and their logprobs, written down beforehand, by request and number of tokens said: a
    `Drafter`."""

    def __init__(self, scripts):
        self.scripts = scripts

    def attach(self, model, room):
        pass

    def read(self, work, copies, lookahead):
        pass

    def watch(self, known, hidden):
        pass

    def stood(self, one, walk, hidden):
        pass

    def begin(self, states, count, nodes):
        told = [self.scripts[state.id] for state in states]
        pairs = [
            script[min(state.said, len(script) - 1)]
            for state, script in zip(states, told, strict=True)
        ]
        self.tokens = torch.tensor([tokens for tokens, _ in pairs])  # [B, H, K]
        self.logs = torch.tensor([logs for _, logs in pairs])
        self.level = -1
        return self._next(1)

    def further(self, chosen, count):
        return self._next(chosen.shape[1])

    def _next(self, width):
        self.level += 1
        return tuple(
            each[:, self.level, None].repeat(1, width, 1) for each in (self.tokens, self.logs)
        )


def serve(part, model, guesses, tree, engine, requests, arrivals, asks=False):
    loaded, watched = medusa.model_of(model), medusa.TimedPart(part.module)
    verifying = part.parts["medusa"]
    speculator = _speculator(loaded, watched, verifying, guesses, tree)
    parts = engine_parts(part.parts, medusa=verifying)
    line = part.line if asks else None
    return medusa.served(loaded, parts, speculator, watched, engine, requests, arrivals, line)


def _speculator(model, module, verifying, guesses, tree):
    from reference_engine.eagle import LAYER
    from reference_engine.eagle.drafter import LayerDrafter
    from reference_engine.eagle.layer import load_layer
    from reference_engine.eagle.speculator import EagleSpeculator
    from reference_engine.medusa import HEADS
    from reference_engine.medusa.heads import load_heads
    from reference_engine.medusa.speculator import MedusaSpeculator
    from reference_engine.medusa.tree_search import tree_for

    if guesses is None:
        return MedusaSpeculator(verifying, load_heads(HEADS, model), tree_for("cpu", HEADS))
    drafter = (
        LayerDrafter(load_layer(LAYER, model)) if guesses == "layer" else ScriptedDrafter(guesses)
    )
    return EagleSpeculator(verifying, module, drafter, **tree)
