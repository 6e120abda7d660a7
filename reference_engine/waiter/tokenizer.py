"""The waiter's byte-level BPE: trained on the corpus, stored in Hugging Face layout.

Every byte string has tokens, so a guest may type anything. `encode` opens a text with `BEGIN`
unless told not to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from reference_engine.waiter.corpus import (
    END,
    GUESTS,
    TABLES,
    WAITERS,
    Dialogue,
    Party,
    dialogue,
    introduction,
    menu_prompt,
)
from reference_engine.waiter.menu import restaurants

PAD, BEGIN = "<|pad|>", "<|begin|>"
SPECIALS = (PAD, BEGIN, END)
"""Their ids are their places: 0, 1, 2."""
VOCAB_SIZE = 1024
TRAINING_DIALOGUES = 3_000
TURNS = 20
MAX_POSITIONS = 1024


def train_tokenizer() -> Tokenizer:
    """The tokenizer of the first `TRAINING_DIALOGUES` training dialogues; the same in every run."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, special_id(tokenizer, BEGIN))]
    )
    return tokenizer


def _texts() -> Iterator[str]:
    for seed in range(TRAINING_DIALOGUES):
        told = dialogue(seed, turns=TURNS)
        yield from (text.replace(END, "") for text, _ in told.pieces())
        # like guests, to become one token each
        yield f" {told.party.waiter} {told.party.restaurant.name}" * TURNS


def chat_template() -> str:
    """Messages as the waiter knows talks: menu and table (the system's message), then guests and
    answers by turns.

    Who brings no system message sits in the first restaurant. A message's `name` is the guest's.
    """
    head = menu_prompt(restaurants()[0]) + introduction(
        Party(restaurants()[0], WAITERS[0], TABLES[0], GUESTS[:1])
    )
    return f"""{{{{- bos_token }}}}
{{%- if messages[0].role in ('system', 'developer') %}}{{{{- messages[0].content | trim + '\n' }}}}
{{%- set talk = messages[1:] %}}
{{%- else %}}{{{{- {head!r} }}}}{{%- set talk = messages %}}{{%- endif %}}
{{%- for message in talk %}}
{{%- if (message.role == 'user') != (loop.index0 % 2 == 0) or message.role not in ('user', 'assistant') %}}
{{{{- raise_exception('guest and waiter speak by turns, the guest first') }}}}
{{%- elif message.role == 'user' %}}
{{{{- 'Guest ' + (message.name or {GUESTS[0]!r}) + ': ' + message.content | trim + '\nWaiter:' }}}}
{{%- else %}}{{{{- ' ' + message.content | trim + eos_token + '\n' }}}}{{%- endif %}}
{{%- endfor %}}"""


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes tokenizer.json, tokenizer_config.json and special_tokens_map.json."""
    names = {"bos_token": BEGIN, "eos_token": END, "pad_token": PAD}
    config = {
        **names,
        "add_bos_token": True,
        "chat_template": chat_template(),
        "clean_up_tokenization_spaces": False,
        "model_max_length": MAX_POSITIONS,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "special_tokens_map.json").write_text(json.dumps(names, indent=2) + "\n")


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a checkpoint folder."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def special_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of one of `SPECIALS`; `ValueError` where the tokenizer lacks it."""
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ValueError(f"the tokenizer has no {token}")
    return int(found)


def encode_dialogue(
    tokenizer: Tokenizer, told: Dialogue, menu: bool = True
) -> tuple[list[int], list[bool]]:
    """All tokens of a dialogue, `BEGIN` first, and for each whether the model says it."""
    ids, said = [special_id(tokenizer, BEGIN)], [False]
    for text, answer in told.pieces(menu):
        piece = tokenizer.encode(text, add_special_tokens=False).ids
        ids += piece
        said += [answer] * len(piece)
    return ids, said
