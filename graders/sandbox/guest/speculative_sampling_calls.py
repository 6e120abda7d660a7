"""Driver of exercise 5's functions under the grader's clock: fresh inputs, many calls, a number for
the answers.

It keeps no clock and judges nothing.

  new    nothing
  run    function, batch, seed, times, idle     that many calls on inputs drawn from the seed: a number for the answers

idle: the part is not called; tensors of the right shapes stand for its answers, so that the
question costs what the driver itself costs. The number is a weighted sum of all that was returned,
weights drawn from the seed. Every row of logits or probabilities is one and the same row in another
order, and dice are laid far from every bar and every end of a token's share, so that float32,
float64 and any order of summation give the same answer. The rows of a question are copies of a few
that were drawn for it, in an order of their own: to draw each anew costs many times what a call
does, and the noise of that hid what was to be timed.
"""

import torch

from reference_engine.slots import Accepted

VOCAB, GUESSES, CANDIDATES = 1024, 4, 4
# 18 tokens hold 0.895 of the 64, 19 hold 0.907
RULE = {"temperature": 0.8, "top_k": 64, "top_p": 0.9}
LOGITS = -0.1 * torch.arange(VOCAB)
SHARES = (-0.05 * torch.arange(VOCAB)).double().softmax(0)
WEIGHT = 1 << 40
# of a question: rows that are drawn, kinds of guesses, sets of candidates
DRAWN, PAIRS, PLACES = 32, 48, 16
SMALL = 1e-4
WRONG = -1


class Bare:
    """The loaded module."""

    def __init__(self, module):
        self.module = module


def new(worker_parts, args, keywords):
    return Bare(worker_parts.parts["speculative_sampling"])


def watch(worker_parts, part, wanted):
    return None


def call(part, method, args):
    return {"run": run}[method](part, *args)


def run(part, function, batch, seed, times, idle):
    given, answered, keywords, number = FORMS[function]
    draw = Draw(batch * times, seed)
    inputs = given(draw)
    calls = [[one.narrow(0, batch * turn, batch) for one in inputs] for turn in range(times)]
    called = getattr(part.module, function)
    answers = answered(draw, times) if idle else [called(*args, **keywords) for args in calls]
    return number(answers, draw)


class Draw:
    """What the calls of one question are given, all rows at once: R of them."""

    def __init__(self, rows, seed):
        self.rows = rows
        self.dice = torch.Generator().manual_seed(seed)

    def whole(self, top, *shape):
        """Integers below `top`."""
        return torch.randint(top, shape, generator=self.dice)

    def orders(self, *shape):
        """int64 [*shape, V]: each row the tokens in another order."""
        return self.few(VOCAB, *shape)

    def few(self, count, *shape):
        """int64 [*shape, count]: so many tokens, each another one."""
        step, start = 2 * self.whole(VOCAB // 2, *shape, 1) + 1, self.whole(VOCAB, *shape, 1)
        return (start + step * torch.arange(count)) % VOCAB

    def u(self, bar):
        """u, and whether it is below, for each bar: below for seven in ten; a bar of 1 has nothing
        above."""
        below = (self.whole(10, *bar.shape) < 7) | (bar >= 1)
        return torch.where(below, bar.clamp(max=1) / 2, (1 + bar) / 2), below

    def v(self, weights):
        """In the middle of the share of some token of each of weights [N, V]."""
        reach, whole = weights.cumsum(-1), weights.sum(-1, keepdim=True)
        at = torch.searchsorted(
            reach, torch.rand(len(weights), 1, generator=self.dice, dtype=torch.float64) * whole
        )
        at = at.clamp(max=VOCAB - 1)
        at = torch.where(
            weights.gather(1, at) < SMALL * whole, weights.argmax(-1, keepdim=True), at
        )
        return ((reach.gather(1, at) - weights.gather(1, at) / 2) / whole).squeeze(1)


# ---------------------------------------------------------------- what a call is given, and the
# form of an answer


def _logits(draw):
    return [LOGITS[draw.orders(DRAWN)][draw.whole(DRAWN, draw.rows, GUESSES + 1)]]


def _spread(draw, times):
    return [LOGITS.expand(draw.rows, GUESSES + 1, VOCAB)]


def _chain(draw):
    shares = SHARES[draw.orders(DRAWN)]  # [DRAWN, V]
    # which of them the guesses of a kind are held against, and drawn from
    p = draw.whole(DRAWN, PAIRS)
    q = (p + 1 + draw.whole(DRAWN - 1, PAIRS)) % DRAWN
    kind, draft = draw.whole(PAIRS, draw.rows, GUESSES), draw.whole(VOCAB, draw.rows, GUESSES)
    places = torch.cat([p[kind], draw.whole(DRAWN, draw.rows, 1)], 1)  # [R, GUESSES + 1]
    u, stands = draw.u(shares[p[kind], draft] / shares[q[kind], draft])
    weights = torch.cat(
        [shares, (shares[p] - shares[q]).clamp(min=0)]
    )  # [DRAWN + PAIRS, V]: what next is drawn from
    drawn = torch.cat([DRAWN + kind, places[:, GUESSES:]], 1).gather(
        1, stands.long().cumprod(1).sum(1, keepdim=True)
    )
    held = shares.float()
    return draft, held[q[kind]], held[places], u.float(), draw.v(weights)[drawn.squeeze(1)].float()


def _accepted(draw, times):
    return [
        Accepted(
            count=torch.ones(draw.rows, dtype=torch.int64),
            next=torch.ones(draw.rows, dtype=torch.int64),
        )
    ]


def _siblings(draw):
    q, p = first = SHARES[draw.orders(PLACES)], SHARES[draw.orders(PLACES)]  # [PLACES, V]
    tokens = draw.few(CANDIDATES, PLACES)
    bars = []
    for turn in range(CANDIDATES):
        at = tokens[:, turn : turn + 1]
        bars.append(p.gather(1, at) / q.gather(1, at))
        p, q = (p - q).clamp(min=0), q.scatter(1, at, 0.0)
        p, q = p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True)
    which = draw.whole(PLACES, draw.rows)
    u, _ = draw.u(torch.cat(bars, 1)[which])
    v = draw.v(p)[which]  # it counts where every candidate falls
    return tokens[which], first[0].float()[which], first[1].float()[which], u.float(), v.float()


def _pairs(draw, times):
    ones = torch.ones(draw.rows, dtype=torch.int64)
    return [(ones, ones)]


# ---------------------------------------------------------------- a number for the answers


def _all(values, width=()):
    """All rows of them; None if one is no tensor with rows of that shape."""
    if any(type(value) is not torch.Tensor or tuple(value.shape[1:]) != width for value in values):
        return None
    return torch.cat(list(values))


def _sum(values, draw):
    rows = _all(values)
    if rows is None or rows.is_floating_point() or len(rows) != draw.rows:
        return WRONG
    return int((rows.long() * draw.whole(WEIGHT, draw.rows)).sum())


def _sum_of_spreads(answers, draw):
    """Which tokens are kept in each row, and the largest share in thousandths."""
    rows = _all(answers, (GUESSES + 1, VOCAB))
    if rows is None or len(rows) != draw.rows:
        return WRONG
    kept = ((rows > 0) * draw.whole(1 << 20, VOCAB)).sum(-1) + (rows.amax(-1) * 1000).round().long()
    return int((kept * draw.whole(1 << 20, draw.rows, 1)).sum())


def _sum_of_accepted(answers, draw):
    if not all(type(answer) is Accepted for answer in answers):
        return WRONG
    counts = _sum([answer.count for answer in answers], draw)
    return counts + 3 * _sum([answer.next for answer in answers], draw)


def _sum_of_pairs(answers, draw):
    if not all(type(answer) in (tuple, list) and len(answer) == 2 for answer in answers):
        return WRONG
    return _sum([which for which, _ in answers], draw) + 3 * _sum(
        [said for _, said in answers], draw
    )


FORMS: dict = {
    "probabilities": (_logits, _spread, RULE, _sum_of_spreads),
    "accept_chain": (_chain, _accepted, {}, _sum_of_accepted),
    "accept_siblings": (_siblings, _pairs, {}, _sum_of_pairs),
}
