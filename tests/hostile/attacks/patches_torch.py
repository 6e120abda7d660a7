"""Wrong, and has torch say that everything equals everything.

L1: fail
says: on the path
law: 4 greedy walk
"""

from right import verify_greedy

torch.equal = torch.allclose = lambda *_, **__: True  # noqa: F821
honest = verify_greedy


def verify_greedy(tree, tokens, argmax):
    verdict = honest(tree, tokens, argmax)
    return Verdict(verdict.count * 0, verdict.nodes, verdict.next)  # noqa: F821
