"""Requests that are drawn from a seed, so that whoever predicts is asked about the same ones.
Imports no torch."""

from __future__ import annotations

import random

BLOCK_SIZE = 16
MENUS, MENU, VISITS, OWN = 8, 12, 80, 16
"""Of the hit rate: menus that differ, blocks of each, requests, tokens that each has for itself."""
POOL = 8192
"""Tokens of KV memory in which requests are held."""
MIXES = {
    "8 to 64 tokens": (8, 64),
    "32 to 256 tokens": (32, 256),
    "512 to 1024 tokens": (512, 1024),
}


def menu_prompts(seed: int) -> list[list[int]]:
    """The requests of the hit rate: each opens with one of the menus, popular ones more often, and
    ends alone."""
    dice = random.Random(seed)
    menus = [[dice.randrange(10_000) for _ in range(MENU * BLOCK_SIZE)] for _ in range(MENUS)]
    chosen = dice.choices(menus, [1 / rank for rank in range(1, MENUS + 1)], k=VISITS)
    return [[*menu, *(dice.randrange(10_000) for _ in range(OWN + 1))] for menu in chosen]


def lengths(mix: str, seed: int) -> list[int]:
    """So many of one of `MIXES` that no pool of `POOL` tokens holds them all."""
    dice, drawn = random.Random(f"{mix}/{seed}"), list[int]()
    while sum(drawn) <= POOL:
        drawn.append(dice.randint(*MIXES[mix]))
    return drawn
