"""Driver of the medusa part's functions under the grader's clock: fresh inputs, many calls, a
number for the answers.

It keeps no clock and judges nothing.

  new    tree: as in `guest.medusa`
  run    function, batch, seed, times, idle     that many calls on inputs drawn from the seed: a number for the answers

idle: the part is not called; tensors of the right shapes stand for its answers, so that the
question costs what the driver itself costs. The number is a weighted sum of all that was returned,
weights drawn from the seed; it cannot be had before the answers are there. For the pairs of
`compact`, whose order is free, it does not depend on the order.

A part meets its inputs while the clock runs and not before: tokens, verdicts and slots are drawn
within the question, and every call has its own. Exactly one path of each row is right, and every
p(token) stays far from its bar, so that float32, float64 and any order of summation give the same
answer.
"""

import torch

from reference_engine.slots import Verdict

from .medusa import _tree

RANKS = 10
VOCAB = 61  # a prime above the number of nodes, so that the tokens of a row differ
RULE = {"temperature": 1.0, "epsilon": 0.1, "delta": 0.5}
# logits beside others below 1: p is at most 0.02 or at least 0.2, the bar 0.1
CHILD, TWIN, RIVAL = 6.0, 5.8, (5.4, 6.6)
SLOTS = 1 << 20
MIX = 0x5DEECE66D
WEIGHT = 1 << 62
WRONG = -1


class Bare:
    """The loaded module, and the tree."""

    def __init__(self, module, tree):
        self.module = module
        self.tree = tree
        self.deep = int(tree.depth[-1])


def new(worker_parts, args, keywords):
    return Bare(worker_parts.parts["medusa"], _tree(args[0]))


def watch(worker_parts, part, wanted):
    return None


def call(part, method, args):
    return {"run": run}[method](part, *args)


def run(part, function, batch, seed, times, idle):
    given, answered, keywords, number = FORMS[function]
    draw = Draw(part.tree, part.deep, batch * times, seed)
    inputs = given(draw)
    calls = [[one.narrow(0, batch * turn, batch) for one in inputs] for turn in range(times)]
    if idle:
        answers = answered(draw)
    else:
        called = getattr(part.module, function)
        fixed = WRAPPED.get(function, lambda tree, *args: (tree, *args))
        answers = [called(*fixed(draw.tree, *args), **keywords) for args in calls]
    return number(answers, draw)


class Draw:
    """What the calls of one question are given, all rows at once. R rows, N nodes, V tokens;
    integers are int64.

    tokens [R, N], all different in a row; on [R, N]: whether a node is on the right path, which
    ends at end [R]; off_path [R, N]: what the model wants after each node off the path, and no node
    says.
    """

    def __init__(self, tree, deep, rows, seed):
        self.tree, self.deep, self.rows = tree, deep, rows
        self.dice = torch.Generator().manual_seed(seed)
        self.nodes = nodes = len(tree.parent)
        start, step = self.whole(VOCAB, rows, 1), 1 + self.whole(VOCAB - 1, rows, 1)
        self.tokens = (start + step * torch.arange(nodes)) % VOCAB
        self.off_path = (start + step * (nodes + self.whole(VOCAB - nodes, rows, nodes))) % VOCAB
        self.end = self.whole(nodes, rows)
        self.on = self.tree.mask[self.end]

    def whole(self, top, *shape):
        """Integers below `top`."""
        return torch.randint(top, shape, generator=self.dice)

    def wanted(self):
        """[R, N]: the model's token after each node."""
        # the last column is spare
        to = torch.where(self.on & (self.tree.depth > 0), self.tree.parent, self.nodes)
        wide = torch.cat([self.off_path, self.off_path[:, :1]], 1)
        return wide.scatter(1, to, self.tokens)[:, :-1].contiguous()

    def logits(self):
        """float32 [R, N, V]: children on the path stand, beside a twin at the root now and then
        that leads nowhere."""
        logits = torch.rand(self.rows, self.nodes, VOCAB, generator=self.dice)
        low, high = RIVAL
        heights = low + (high - low) * torch.rand(self.rows, self.nodes, 1, generator=self.dice)
        logits.scatter_(2, self.off_path[:, :, None], heights)
        rows, steps = (self.on & (self.tree.depth > 0)).nonzero(as_tuple=True)
        logits[rows, self.tree.parent[steps], self.tokens[rows, steps]] = CHILD
        deep = rows[self.tree.depth[steps] == 2]
        twins = self.on[deep, 1].long() + 1  # node 1, or node 2 where node 1 is on the path
        logits[deep, 0, self.tokens[deep, twins]] = TWIN
        return logits

    def path(self):
        """[R, D + 1], -1 after the end."""
        nodes = torch.where(self.on, torch.arange(self.nodes), -1)
        empty = torch.full((self.rows, self.deep + 1), -1)
        return empty.scatter_reduce(1, self.tree.depth.expand_as(nodes), nodes, "amax")


# ---------------------------------------------------------------- what a call is given, and the
# form of an answer


def _propose(draw):
    return draw.whole(SLOTS, draw.rows), draw.whole(SLOTS, draw.rows, draw.deep, RANKS)


def _tokens(draw):
    return [draw.tokens]


def _greedy(draw):
    return draw.tokens, draw.wanted()


def _verdict(draw):
    return [
        Verdict(
            count=draw.end.clamp(max=draw.deep),
            nodes=draw.tokens[:, : draw.deep + 1],
            next=draw.end,
        )
    ]


def _typical(draw):
    return draw.tokens, draw.logits()


def _compact(draw):
    slots = torch.randperm(draw.rows * draw.nodes, generator=draw.dice).view(draw.rows, -1)
    return draw.tree.depth[draw.end], draw.path(), draw.tokens[:, 0], slots


def _judged(tree, count, nodes, following, slots):
    return Verdict(count, nodes, following), slots


def _moves(draw):
    return [(draw.end, draw.end)]


# ---------------------------------------------------------------- a number for the answers


def _tensors(values, width):
    """All rows of them; None if one is no tensor of integers with rows of that width."""
    for value in values:
        if (
            type(value) is not torch.Tensor
            or value.is_floating_point()
            or tuple(value.shape[1:]) != width
        ):
            return None
    return torch.cat(list(values)).long()


def _sum(values, draw, *width):
    rows = _tensors(values, width)
    if rows is None or len(rows) != draw.rows:
        return WRONG
    return int((rows * draw.whole(WEIGHT, *rows.shape)).sum())


def _sum_of_tokens(answers, draw):
    return _sum(answers, draw, draw.nodes)


def _sum_of_verdicts(answers, draw):
    if not all(type(answer) is Verdict for answer in answers):
        return WRONG
    counts = _sum([answer.count for answer in answers], draw)
    nodes = _sum([answer.nodes for answer in answers], draw, draw.deep + 1)
    return (counts + 3 * nodes + 5 * _sum([answer.next for answer in answers], draw)) % WEIGHT


def _sum_of_moves(answers, draw):
    if not all(type(answer) in (tuple, list) and len(answer) == 2 for answer in answers):
        return WRONG
    src, dst = (_tensors([answer[end] for answer in answers], ()) for end in (0, 1))
    if src is None or dst is None or len(src) != len(dst):
        return WRONG
    mixed = src * draw.whole(WEIGHT, 1) + dst * draw.whole(WEIGHT, 1)
    return int(((mixed ^ (mixed >> 29)) * MIX).sum())


FORMS: dict = {
    "propose": (_propose, _tokens, {}, _sum_of_tokens),
    "verify_greedy": (_greedy, _verdict, {}, _sum_of_verdicts),
    "verify_typical": (_typical, _verdict, RULE, _sum_of_verdicts),
    "compact": (_compact, _moves, {}, _sum_of_moves),
}
WRAPPED: dict = {"compact": _judged}
