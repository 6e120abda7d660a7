"""Writes into the tensors it was given, and has torch say that nothing has changed.

L1: fail
says: changed
law: 4 greedy walk
"""

from right import verify_greedy

honest = verify_greedy
torch.equal = lambda *_: True  # noqa: F821
torch.Tensor.clone = lambda tensor, **_: tensor  # noqa: F821
torch.Tensor.nan_to_num = lambda tensor, **_: tensor  # noqa: F821


def verify_greedy(tree, tokens, argmax):
    verdict = honest(tree, tokens, argmax)
    argmax.zero_()
    return verdict
