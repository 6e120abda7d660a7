"""Messages as the text that a model was trained on: the chat template of a checkpoint's
tokenizer_config.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from course.server.api_error import ApiError
from course.server.bodies import Message
from reference_engine.model import Model


class ChatTemplate:
    """Renders talks for one model. `special`: the texts of its special tokens, which no message may
    contain."""

    def __init__(self, source: str, special: dict[str, str]) -> None:
        room = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        room.globals["raise_exception"] = _refuse
        self._template, self._special = room.from_string(source), special

    @classmethod
    def of(cls, model: Model) -> ChatTemplate | None:
        """The model's; None where its checkpoint has none."""
        path = model.source / "tokenizer_config.json" if model.source else None
        if path is None or not path.is_file():
            return None
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        special = {
            name: text
            for name, text in config.items()
            if name.endswith("_token") and isinstance(text, str)
        }
        source = config.get("chat_template")
        return cls(source, special) if isinstance(source, str) else None

    def render(self, messages: Sequence[Message]) -> str:
        """The text before the assistant's next answer, special tokens written out. Raises ApiError
        400."""
        told = [
            {
                "role": each.role,
                "content": self._plain(each.text),
                "name": self._plain(each.name or ""),
            }
            for each in messages
        ]
        try:
            return self._template.render(messages=told, add_generation_prompt=True, **self._special)
        except TemplateError as error:
            raise ApiError(
                400, f"these messages are not for this model: {error}.", param="messages"
            ) from None

    def _plain(self, text: str) -> str:
        for special in self._special.values():
            text = text.replace(special, "")
        return text


def _refuse(sentence: str) -> NoReturn:
    raise TemplateError(sentence)
