"""Driver of exercise 5 inside the worker: how the three functions are called, tensors crossing as
in `guest.tensors`.

Two more methods call a function of the part on more rows than anybody would write down, whose
distributions are rows of two tables [S, V], one row for each token that was said before:
  many_chains    q, p, before [R], draft [R, K], u, v    accept_chain: guess i follows guess i - 1, the first `before`
  many_siblings  q, p, before [R], tokens [R, C], u, v   accept_siblings
Their u and v are whole numbers; `SCALE` of them are 1.

And `serve` runs the real engine with the part and answers as that of `guest.medusa` does. Its only
argument is a dict:
  model      of the engine, a name or [name of a shape, seed, sizes that differ]
  draft      the model that drafts, as `model` is told; "waiter": the one that was trained for it; None: none
  guesses    of a chain
  engine     keywords of the Engine
  requests   [prompt, max_new, eos, sampling] each, the last as keywords
  arrivals   how many requests are there before step 0, 1, ...; the rest come after the last
  asks       whether the passes of the model, not of the one that drafts, are asked for
"""

import torch

from . import tensors
from .engine_parts import engine_parts
from .medusa import TimedPart, model_of, served
from .tensors import LoadedPart, plain_tensor, plain_tensors, tensor

torch.set_num_threads(1)
SCALE = 1 << 20


def new(worker_parts, args, keywords):
    return LoadedPart(
        worker_parts.parts["speculative_sampling"], worker_parts.parts, worker_parts.line
    )


def watch(worker_parts, part, wanted):
    return None


def call(part, method, args):
    """Call `method` of the module; see `guest.tensors.call`."""
    if method == "serve":
        return serve(part, **args[0])
    if method == "many_chains":
        return [_plain_accepted(part.module.accept_chain(*_chains(*map(tensor, args)))), [], [], []]
    if method == "many_siblings":
        pair = part.module.accept_siblings(*_siblings(*map(tensor, args)))
        return [plain_tensors(pair), [], [], []]
    return tensors.call(FORMS, part, method, args)


def _chains(q, p, before, draft, u, v):
    seen = torch.cat([before[:, None], draft], 1)  # [R, K + 1]
    return draft, q[seen[:, :-1]], p[seen], u / SCALE, v / SCALE


def _siblings(q, p, before, tokens, u, v):
    return tokens, q[before], p[before], u / SCALE, v / SCALE


def _probabilities(logits, rule):
    return {"logits": tensor(logits), "keywords": dict(rule)}


def _chain(draft, q, p, u, v):
    given = {"draft": draft, "q": q, "p": p, "u": u, "v": v}
    return {name: tensor(data) for name, data in given.items()}


def _candidates(tokens, q, p, u, v):
    given = {"tokens": tokens, "q": q, "p": p, "u": u, "v": v}
    return {name: tensor(data) for name, data in given.items()}


def _plain_accepted(accepted):
    return plain_tensors((accepted.count, accepted.next))


FORMS: dict = {
    "probabilities": (_probabilities, plain_tensor),
    "accept_chain": (_chain, _plain_accepted),
    "accept_siblings": (_candidates, plain_tensors),
}


# ---------------------------------------------------------------- the real engine


def serve(part, model, draft, guesses, engine, requests, arrivals, asks=False):
    from reference_engine.sampler import Sampling

    loaded, watched, speculator = model_of(model), TimedPart(part.module), None
    if draft is not None:
        from reference_engine.drafting.speculator import DraftSpeculator

        speculator = DraftSpeculator(watched, _draft(loaded, draft), guesses=guesses)
    parts = engine_parts(part.parts, speculative_sampling=speculator and watched)
    asked = [
        (prompt, max_new, eos, Sampling(**sampling)) for prompt, max_new, eos, sampling in requests
    ]
    return served(
        loaded, parts, speculator, watched, engine, asked, arrivals, part.line if asks else None
    )


def _draft(model, name):
    if name != "waiter":
        return model_of(name)
    from reference_engine.drafting import draft_for

    return draft_for(model)
