"""Driver of exercise 6 inside the worker: how the three functions are called.

A tensor crosses as in `guest.tensors`, a growth and a tree as lists of their fields. What a function returned comes
back in the same form; what comes beside it is told by `guest.tensors.call`.

One more method is no function of the part: `serve` runs the real engine with it, as that of `guest.medusa`, but for
  guesses    "heads", or for each request a list: item n are [guesses [H][K], their logprobs [H][K]] when n tokens have
             been said; None: the static tree stored beside the heads, the part is not used
  tree       size, depth, width and guesses of `DynamicSpeculator`; with a static tree, {}
"""

import torch

from . import medusa, tensors
from .tensors import LoadedPart, plain_tensor, tensor

torch.set_num_threads(1)


def new(worker_parts, args, keywords):
    return LoadedPart(worker_parts.parts["draft_tree"], worker_parts.parts)


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
    return [plain_tensor(item) for item in (growth.token, growth.parent, growth.depth, growth.value)]


def _plain_tree(tree):
    return [plain_tensor(item) for item in (tree.token, tree.parent, tree.depth, tree.mask)]


FORMS: dict = {
    "frontier": (_frontier, plain_tensor),
    "grow": (_grow, _plain_growth),
    "rerank": (_rerank, _plain_tree),
}


# ---------------------------------------------------------------- the real engine


class ScriptedWeights(medusa.ScriptedGuesses):
    """Guesses and their logprobs, written down beforehand, by request and number of tokens said."""

    def weigh(self, told, hidden, count):
        for one in told:
            self.said[one.id] = self.said.get(one.id, 0) + len(one.tokens)
        pairs = [self._after(one.id) for one in told]
        return torch.tensor([tokens for tokens, _ in pairs]), torch.tensor([logs for _, logs in pairs])


def serve(part, model, guesses, tree, engine, requests, arrivals):
    loaded, watched = medusa.model_of(model), medusa.TimedPart(part.module)
    verifying = part.parts["medusa"]
    speculator = _speculator(loaded, watched, verifying, guesses, tree)
    parts = medusa.parts_of(part.parts, verifying)
    return medusa.served(loaded, parts, speculator, watched, engine, requests, arrivals)


def _speculator(model, module, verifying, guesses, tree):
    from reference_engine.medusa import HEADS
    from reference_engine.medusa.dynamic_tree import DynamicSpeculator, HeadWeigher
    from reference_engine.medusa.heads import load_heads
    from reference_engine.medusa.speculator import MedusaSpeculator
    from reference_engine.medusa.tree_search import tree_for

    if guesses is None:
        return MedusaSpeculator(verifying, load_heads(HEADS, model), tree_for("cpu", HEADS))
    weigher = HeadWeigher(load_heads(HEADS, model)) if guesses == "heads" else ScriptedWeights(guesses)
    return DynamicSpeculator(verifying, module, weigher, **tree)
