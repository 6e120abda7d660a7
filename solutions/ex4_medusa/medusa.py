"""Medusa verification: many guesses in one forward pass, and no word that the model would not have said itself.

Extra heads on the model guess the tokens after its next one. The guesses form a tree; the model reads the whole tree
in one pass; your part decides which path of it stands (Cai et al., arXiv 2401.10774). Five functions:

    build_tree      choices -> the tree: parents, depths, ranks, who may look at whom
    propose         what the heads guessed -> one token for every node
    verify_greedy   keep exactly the path that greedy decoding would have taken
    verify_typical  keep the longest path of plausible tokens (faster, and another distribution)
    compact         which KV has to move, now that most of the tree is rejected

Who predicts what. The model has read positions 0..t. Its own head gives the token of t+1: that is node 0, and certain.
Medusa head h (counted from 1) gives guesses for the token of t+1+h: they stand at depth h.

      choices (0,), (1,), (0, 0):          the model has read "one cup of"; it says "tea".
                                           head 1 guesses "please" (rank 0) or "with" (rank 1), head 2 "and" (rank 0)
            [0] tea
             |-- [1] please  (0,)          parent [-1, 0, 0, 1]        mask  1 . . .    a node sees itself
             |     `-- [3] and  (0, 0)     depth  [ 0, 1, 1, 2]              1 1 . .    and its ancestors,
             `-- [2] with  (1,)            rank   [ 0, 0, 1, 0]              1 . 1 .    never its siblings
                                                                             1 1 . 1
    The token of a node of depth d sits at position t+1+d, so nodes 1 and 2 are two futures of one position. The KV of
    node i, however, is written to slots[i]: the tree is stored flat, in node order, and `compact` mends that.

Shapes: B rows (sequences), N nodes, D = depth of the tree, H heads, K guesses of each head, V tokens in the vocabulary.
Integers are int64; a tensor may be a view of a larger one, with strides of its own. No function changes what it is
given. B may be 0; rows never influence each other. What is returned is the caller's: no view of an argument, which the
engine writes over in its next step, and no buffer that a later call fills again.

Devices. The engine hands your functions tensors on the CPU, on a GPU too: they hold a few numbers a step, and what is
decided about them is decided by the host. `build_tree` makes its tensors there; what the others return is on the device
of what they were given.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import Tensor

from reference_engine.slots import Tree, Verdict


def build_tree(choices: Sequence[tuple[int, ...]]) -> Tree:
    """The tree in which every choice is a path.

    A choice (r1, ..., rd) is the path "rank r1 of head 1, ..., rank rd of head d"; rank 0 is a head's best guess.
    Every prefix of a choice is a node, whether it was listed or not; what is listed twice is one node. Nodes are sorted
    by (depth, path), so the order of `choices` does not matter and a parent always comes before its children. Node 0 is
    the base model's own token: parent -1, depth 0, rank 0.

    Returns Tree(parent, depth, rank, mask): int64 [N] three times and bool [N, N]; mask[i, j] is True when j is i or an
    ancestor of i.

    Raises ValueError: no choice at all, an empty choice, a negative rank, a rank that is no integer.

    >>> tree = build_tree([(1,), (0, 0)])            # (0,) is missing: it is added
    >>> tree.parent.tolist(), tree.depth.tolist(), tree.rank.tolist()
    ([-1, 0, 0, 1], [0, 1, 1, 2], [0, 0, 1, 0])
    >>> tree.mask.int().tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 1]]
    """
    ### BEGIN SOLUTION
    choices = [_path(choice) for choice in choices]
    if not choices:
        raise ValueError("a tree needs at least one choice")
    prefixes = {choice[:depth] for choice in choices for depth in range(len(choice) + 1)}
    paths = sorted(prefixes, key=lambda path: (len(path), path))
    node = {path: index for index, path in enumerate(paths)}
    parent = [-1] + [node[path[:-1]] for path in paths[1:]]
    mask = torch.eye(len(paths), dtype=torch.bool)
    for index, above in enumerate(parent[1:], start=1):
        mask[index] |= mask[above]
    depth = torch.tensor([len(path) for path in paths])
    rank = torch.tensor([0] + [path[-1] for path in paths[1:]])
    return Tree(parent=torch.tensor(parent), depth=depth, rank=rank, mask=mask)
    ### END SOLUTION


def propose(tree: Tree, root: Tensor, topk: Tensor) -> Tensor:
    """The token of every node: the root is the model's, a node of depth d is guess `rank` of head d.

    root int64 [B]: the base model's own next token. topk int64 [B, H, K]: topk[b, h - 1] are the K guesses of head h,
    best first. Returns int64 [B, N]. More heads or guesses than the tree uses are fine.

    Raises ValueError: the tree is deeper than H, or uses a rank that is not among the K guesses (rank >= K).

    >>> tree = build_tree([(1,), (0, 0)])
    >>> propose(tree, torch.tensor([5]), torch.tensor([[[11, 12], [21, 22]]])).tolist()
    [[5, 11, 12, 21]]
    """
    ### BEGIN SOLUTION
    _, heads, guesses = topk.shape
    deepest, highest = _depth(tree), int(tree.rank.max())
    if deepest > heads:
        raise ValueError(f"the tree is {deepest} deep, but there are only {heads} heads")
    if highest >= guesses:
        raise ValueError(f"the tree uses rank {highest}, but each head gives only {guesses} guesses")
    places = [(depth - 1, rank) for depth, rank in zip(tree.depth.tolist()[1:], tree.rank.tolist()[1:], strict=True)]
    tokens = [
        [token, *(guess[head][rank] for head, rank in places)]
        for token, guess in zip(root.tolist(), topk.tolist(), strict=True)
    ]
    return torch.tensor(tokens, dtype=torch.int64, device=root.device).view(-1, len(tree.parent))
    ### END SOLUTION


def verify_greedy(tree: Tree, tokens: Tensor, argmax: Tensor) -> Verdict:
    """Walk down from node 0 as long as a child says what the model says: the text of greedy decoding, several at once.

    tokens int64 [B, N]: what each node proposes. argmax int64 [B, N]: the token the model wants AFTER each node, having
    read that node and its ancestors. Standing on a node, step to a child whose token equals `argmax` of the node you
    stand on; stop when no child does. Where siblings carry the same token any path that stands is right: the text is
    the same, and a longer one saves passes.

    Returns count int64 [B]: the depth reached, 0..D; nodes int64 [B, D + 1]: the nodes walked, nodes[:, 0] = 0 and -1
    after count; next int64 [B]: argmax at the node where the walk ended. So a pass yields count + 1 new tokens, and at
    least one: useless guesses cost time, never text. Nodes off the path may hold anything. Token id 0 is a token like
    any other.

    >>> tree = build_tree([(0,), (1,), (0, 0)])
    >>> tokens = torch.tensor([[5, 11, 12, 21]])
    >>> argmax = torch.tensor([[11, 21, 99, 30]])    # after 5 comes 11: node 1. After it 21: node 3. After that 30
    >>> verdict = verify_greedy(tree, tokens, argmax)
    >>> verdict.count.tolist(), verdict.nodes.tolist(), verdict.next.tolist()
    ([2], [[0, 1, 3]], [30])
    >>> verdict = verify_greedy(tree, tokens, torch.tensor([[12, 21, 99, 30]]))
    >>> verdict.count.tolist(), verdict.nodes.tolist(), verdict.next.tolist()
    ([1], [[0, 2, -1]], [99])
    """
    ### BEGIN SOLUTION
    parent, width = tree.parent.tolist(), _depth(tree) + 1
    rows = []
    for said, wanted in zip(tokens.tolist(), argmax.tolist(), strict=True):
        walk = _walk(parent, said, wanted)
        rows.append([len(walk) - 1, wanted[walk[-1]], *walk, *[-1] * (width - len(walk))])
    verdicts = torch.tensor(rows, dtype=torch.int64, device=argmax.device).view(-1, 2 + width)
    return Verdict(count=verdicts[:, 0], nodes=verdicts[:, 2:], next=verdicts[:, 1])
    ### END SOLUTION


def verify_typical(
    tree: Tree,
    tokens: Tensor,
    logits: Tensor,
    *,
    temperature: float,
    epsilon: float,
    delta: float,
    generator: torch.Generator | None = None,
) -> Verdict:
    """Accept what the model finds plausible, by Medusa's typical acceptance.

    tokens int64 [B, N] as above. logits float [B, N, V]: the model's logits AFTER each node. With
    p = softmax(logits / temperature) at the PARENT of a node and H = -sum(p ln p) its entropy (in nats; 0 ln 0 = 0),
    the node stands when

        p(its token)  >  min(epsilon, delta * exp(-H))

    A path stands when each of its nodes does (node 0 always). The longest path that stands, starting at node 0, wins;
    among equally long ones that with the larger sum of ln p(token); among equal sums that which ends at the lower node
    index, or any path of the same tokens. `next` is the argmax of the logits where the path ends, or, when a generator
    is given, one draw from p there, made with this generator alone. Temperature 0 is greedy: the verdict of
    `verify_greedy` on the argmax of the logits.

    This does NOT keep the model's distribution: it is no rejection sampling. Where the model is unsure (large H) the
    bar falls and any plausible guess passes, and a guess that passes is taken without rolling dice.

    Logits of nodes off the path may be NaN: a child of such a node does not stand. Logits may be -inf (p is 0 there).
    Returns a Verdict shaped as that of `verify_greedy`.

    Raises ValueError: temperature, epsilon or delta negative or NaN; NaN logits where the path ends.

    >>> tree = build_tree([(0,), (1,)])
    >>> tokens = torch.tensor([[0, 1, 2]])
    >>> logits = torch.tensor([[[0.1, 0.3, 0.6], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]]).log()
    >>> # after node 0: p(1) = 0.3, p(2) = 0.6, H = 0.90, so the bar is min(0.5, 0.7 * 0.41) = 0.29: both stand
    >>> verdict = verify_typical(tree, tokens, logits, temperature=1.0, epsilon=0.5, delta=0.7)
    >>> verdict.count.tolist(), verdict.nodes.tolist(), verdict.next.tolist()
    ([1], [[0, 2]], [1])
    """
    ### BEGIN SOLUTION
    if not (temperature >= 0 and epsilon >= 0 and delta >= 0):
        raise ValueError(f"temperature {temperature}, epsilon {epsilon} and delta {delta} must not be negative")
    if temperature == 0:
        said = logits.argmax(-1).masked_fill(logits.isnan().any(-1), -1)  # after NaN no guess stands
        verdict = verify_greedy(tree, tokens, said)
        _at_end(verdict, logits)
        return verdict
    log_p = (logits.float() / temperature).log_softmax(-1)
    bar = (torch.special.entr(log_p.exp()).sum(-1).neg().exp() * delta).clamp(max=epsilon)
    rows = torch.arange(len(tokens), device=tokens.device)[:, None]
    parent = tree.parent.clamp(min=0)
    guess = log_p[rows, parent, tokens].masked_fill(tree.depth == 0, 0.0)
    stands = (guess.exp() > bar[:, parent]) | (tree.depth == 0)
    verdict = _longest(tree, stands, guess)
    final = _at_end(verdict, log_p)
    drawn = final.argmax(-1) if generator is None else _draw(final.exp(), generator)
    return Verdict(count=verdict.count, nodes=verdict.nodes, next=drawn)
    ### END SOLUTION


def compact(verdict: Verdict, slots: Tensor) -> tuple[Tensor, Tensor]:
    """The moves of KV that make the accepted path contiguous.

    slots int64 [B, N]: where the KV of node i of row b was written; slots[b, :count + 1] are, in this order, where the
    tokens at positions t+1 .. t+1+count belong. So the i-th accepted node (1 <= i <= count) moves from
    slots[b, nodes[b, i]] to slots[b, i]. A move onto itself is dropped. Slots are not sorted and not adjacent: they lie
    wherever the block tables put them.

    Returns (src, dst), both int64 [number of moves], in any order. The moves are executed at once, all reads before all
    writes (`kv[dst] = kv[src]`), so a slot may be read by one move and written by another.

    >>> verdict = Verdict(count=torch.tensor([2]), nodes=torch.tensor([[0, 2, 5]]), next=torch.tensor([7]))
    >>> src, dst = compact(verdict, torch.tensor([[40, 41, 42, 43, 80, 81]]))
    >>> src.tolist(), dst.tolist()
    ([42, 81], [41, 42])
    """
    ### BEGIN SOLUTION
    moves = [
        (row[node], row[place])
        for path, row in zip(verdict.nodes.tolist(), slots.tolist(), strict=True)
        for place, node in enumerate(path)
        if node > 0 and row[node] != row[place]
    ]
    src, dst = torch.tensor(moves, dtype=torch.int64, device=slots.device).view(-1, 2).unbind(1)
    return src, dst
    ### END SOLUTION


### BEGIN SOLUTION
def _path(choice: Sequence[int]) -> tuple[int, ...]:
    """The choice as a tuple of ranks; ValueError if it is none."""
    try:
        path = tuple(operator.index(rank) for rank in choice)
    except TypeError:
        raise ValueError(f"a choice is a tuple of ranks, not {type(choice).__name__} of something else") from None
    if not path or min(path) < 0:
        raise ValueError(f"choice {path} is empty or has a negative rank")
    return path


def _walk(parent: Sequence[int], tokens: Sequence[int], argmax: Sequence[int]) -> list[int]:
    """The nodes walked in one row. Parents come before their children, so one look at each node is enough."""
    walk = [0]
    for node in range(1, len(parent)):
        if parent[node] == walk[-1] and tokens[node] == argmax[walk[-1]]:
            walk.append(node)
    return walk


def _depth(tree: Tree) -> int:
    """D. Nodes are sorted by depth, so the last one is as deep as any."""
    return int(tree.depth[-1])


def _longest(tree: Tree, stands: Tensor, guess: Tensor) -> Verdict:
    """The longest path whose nodes all stand; `next` is left as -1. stands bool [B, N], guess = ln p(token) [B, N].

    The few float32 terms of a path are summed in float64, where the sum is exact: equal paths tie whatever the order.
    """
    reached = (stands[:, None, :] | ~tree.mask).all(-1)
    score = torch.where(tree.mask, guess.double()[:, None, :], 0.0).sum(-1)
    length = torch.where(reached, tree.depth, -1)
    longest = length == length.amax(1, keepdim=True)
    end = torch.where(longest, score, -torch.inf).argmax(1)
    node = torch.arange(len(tree.parent), device=end.device)
    on_path = torch.where(tree.mask[end], node, -1)
    nodes = torch.full((len(end), _depth(tree) + 1), -1, device=end.device)
    nodes = nodes.scatter_reduce(1, tree.depth.expand_as(on_path), on_path, "amax")
    return Verdict(count=tree.depth[end], nodes=nodes, next=torch.full_like(end, -1))


def _at_end(verdict: Verdict, logits: Tensor) -> Tensor:
    """[B, V]: the logits at the end of each row's path; ValueError if they are NaN."""
    end = verdict.nodes.gather(1, verdict.count[:, None])
    final = logits[torch.arange(len(end), device=end.device), end.squeeze(1)]
    if final.isnan().any():
        raise ValueError("the logits at the end of the accepted path are NaN: the model is broken, not the guess")
    return final


def _draw(p: Tensor, generator: torch.Generator) -> Tensor:
    """One token id a row of p [B, V]."""
    return torch.multinomial(p, 1, generator=generator).squeeze(1) if len(p) else p.new_zeros(0, dtype=torch.long)


### END SOLUTION
