"""The bodies of requests, as OpenAI and vLLM name their fields. A field that is not here is
refused, not ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from course.server.api_error import ApiError

T = TypeVar("T")
MOST_SAMPLES, MOST_LOGPROBS, MOST_STOPS, LONGEST_STOP = 128, 20, 16, 1024

Natural = Annotated[int, Meta(ge=0, lt=2**31)]
Positive = Annotated[int, Meta(ge=1, lt=2**31)]
Share = Annotated[float, Meta(gt=0, le=1)]
Samples = Annotated[int, Meta(ge=1, le=MOST_SAMPLES)]
Logprobs = Annotated[int, Meta(ge=0, le=MOST_LOGPROBS)]
Stop = Annotated[str, Meta(min_length=1, max_length=LONGEST_STOP)]
Stops = Stop | Annotated[list[Stop], Meta(max_length=MOST_STOPS)]


class StreamOptions(Struct, forbid_unknown_fields=True, frozen=True):
    """What a stream tells besides text."""

    include_usage: bool = False
    continuous_usage_stats: Literal[False] = False


class ResponseFormat(Struct, forbid_unknown_fields=True, frozen=True):
    """Plain text is all that the engine can promise."""

    type: Literal["text"]


class SamplingBody(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What both ways of asking share. Fields with a Literal exist for clients that always send
    their neutral value."""

    model: str
    max_tokens: Positive | None = None
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Meta(ge=-1)] | None = None
    seed: int | None = None
    n: Samples | None = None
    stop: Stops | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    ignore_eos: bool = False
    min_tokens: Natural = 0
    priority: Annotated[int, Meta(ge=-(2**31), lt=2**31)] = 0
    user: str | None = None
    presence_penalty: Annotated[float, Meta(ge=0, le=0)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=0, le=0)] | None = None
    repetition_penalty: Annotated[float, Meta(ge=1, le=1)] | None = None
    logit_bias: Annotated[dict[str, float], Meta(max_length=0)] | None = None


class CompletionBody(SamplingBody, frozen=True, kw_only=True):
    """POST /v1/completions."""

    prompt: str | list[str | Natural | list[Natural]]
    logprobs: Logprobs | None = None
    echo: bool = False
    best_of: Annotated[int, Meta(ge=1, le=1)] | None = None
    suffix: Literal[""] | None = None
    add_special_tokens: bool = True


class TextPart(Struct, forbid_unknown_fields=True, frozen=True):
    """A piece of a message."""

    type: Literal["text"]
    text: str


class Message(Struct, forbid_unknown_fields=True, frozen=True):
    """One message of a talk. name: who speaks, where the chat template asks for it."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    refusal: str | None = None

    @property
    def text(self) -> str:
        """What was said."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "".join(part.text for part in self.content)


class ChatBody(SamplingBody, frozen=True, kw_only=True):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: Positive | None = None
    logprobs: bool | None = None
    top_logprobs: Logprobs | None = None
    response_format: ResponseFormat | None = None


class TokenizeBody(Struct, forbid_unknown_fields=True, frozen=True):
    """POST /tokenize."""

    prompt: str
    model: str | None = None
    add_special_tokens: bool = True


class DetokenizeBody(Struct, forbid_unknown_fields=True, frozen=True):
    """POST /detokenize."""

    tokens: list[Natural]
    model: str | None = None


def read(raw: bytes, kind: type[T]) -> T:
    """The body, typed. Raises ApiError 400 with what is wrong and where."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise ApiError(400, f"{error}.", param=_param(raw, kind)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, f"the body is not JSON: {error}.", code="invalid_json") from None


def _param(raw: bytes, kind: Any) -> str | None:
    """The first field of the body that is unknown, or that is wrong by itself."""
    try:
        told = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    fields = msgspec.structs.fields(kind)
    if not isinstance(told, dict):
        return None
    known = {field.encode_name: field.type for field in fields}
    for name, value in told.items():
        try:
            msgspec.convert(value, known[name])
        except (KeyError, msgspec.ValidationError):
            return str(name)
    return next(
        (field.encode_name for field in fields if field.required and field.encode_name not in told),
        None,
    )
