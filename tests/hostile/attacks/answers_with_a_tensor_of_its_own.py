"""Returns tensors of a subclass that lies when it is compared.

L1: fail
says: <Liar>; a Verdict of tensors is due
law: 4 greedy walk
"""

from right import verify_greedy


class Liar(torch.Tensor):  # noqa: F821
    def tolist(self):
        return [0]

    def __eq__(self, other):
        return True

    __hash__ = None


honest = verify_greedy


def verify_greedy(tree, tokens, argmax):
    verdict = honest(tree, tokens, argmax)
    return Verdict(
        *(item.as_subclass(Liar) for item in (verdict.count, verdict.nodes, verdict.next))
    )  # noqa: F821
