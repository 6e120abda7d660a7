"""Imports the engine's own kernel of paged attention as its answer.

L1: invalid
says: has to be the learner's own
law: 7 read once
"""

import torch

from reference_engine.kernels.decode import decode_attention
from reference_engine.kernels.paging import Paging


def paged_decode(q, k, v, tables, lengths, scale, *, split=1):
    batch, size = len(lengths), k.shape[1]
    rows = torch.arange(batch + 1, dtype=torch.int32)
    paging = Paging(rows, lengths, rows[:-1], tables)
    return decode_attention(
        q, k.flatten(0, 1), v.flatten(0, 1), paging, block_size=size, scale=scale, splits=split
    )
