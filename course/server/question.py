"""What a body asks the engine for: prompts as tokens, how to sample, when to stop; checked, in the
engine's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from course.server.api_error import ApiError
from course.server.bodies import ChatBody, CompletionBody, SamplingBody
from course.server.chat_template import ChatTemplate
from reference_engine.sampler import Sampling

if TYPE_CHECKING:
    from tokenizers import Tokenizer

COMPLETION_TOKENS = 16
"""What OpenAI's completions say when nobody says how much."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What the server knows of its model. capacity: tokens of one request. seats: requests at once.
    eos: its id."""

    name: str
    tokenizer: Tokenizer
    template: ChatTemplate | None
    eos: int | None
    vocab: int
    capacity: int
    seats: int
    by_priority: bool

    def check_name(self, name: str) -> None:
        """Raises ApiError 404 for another model's name."""
        if name != self.name:
            sentence = f"the model {name!r} does not exist; {self.name!r} is served here."
            raise ApiError(404, sentence, param="model", code="model_not_found")


@dataclass(frozen=True, slots=True)
class Question:
    """One request to the API: each prompt is answered `n` times.

    echo: the prompts' texts, to be repeated; empty: not. scores: log-probabilities are told. usage:
    a stream ends with the counts of tokens.
    """

    chat: bool
    prompts: tuple[tuple[int, ...], ...]
    echo: tuple[str, ...]
    max_new: int
    sampling: Sampling
    n: int
    stops: tuple[str, ...]
    eos: int | None
    priority: int
    stream: bool
    usage: bool

    @property
    def samples(self) -> int:
        """Answers due."""
        return len(self.prompts) * self.n


def of_completion(body: CompletionBody, model: ServedModel) -> Question:
    """Raises ApiError for what cannot be served."""
    model.check_name(body.model)
    if body.echo and body.logprobs is not None:
        raise ApiError(
            400, "echo cannot be combined with logprobs: the prompt has no scores.", param="echo"
        )
    prompts = _prompts(body, model)
    echo = tuple(model.tokenizer.decode(list(prompt)) for prompt in prompts) if body.echo else ()
    return _question(
        body, model, prompts, body.max_tokens or COMPLETION_TOKENS, body.logprobs, echo=echo
    )


def of_chat(body: ChatBody, model: ServedModel) -> Question:
    """Raises ApiError for what cannot be served."""
    model.check_name(body.model)
    if model.template is None:
        raise ApiError(
            400, "this model has no chat template: use /v1/completions.", code="no_chat_template"
        )
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError(400, "top_logprobs needs logprobs to be true.", param="top_logprobs")
    if body.max_tokens and body.max_completion_tokens:
        sentence = "max_tokens and max_completion_tokens mean the same: give one of them."
        raise ApiError(400, sentence, param="max_tokens")
    text = model.template.render(body.messages)
    prompt = tuple(model.tokenizer.encode(text, add_special_tokens=False).ids)
    most = body.max_completion_tokens or body.max_tokens or max(1, model.capacity - len(prompt))
    scores = (body.top_logprobs or 0) if body.logprobs else None
    return _question(body, model, (prompt,), most, scores, chat=True)


def _prompts(body: CompletionBody, model: ServedModel) -> tuple[tuple[int, ...], ...]:
    """A string, token ids, or a batch of either."""
    asked = body.prompt
    if isinstance(asked, str):
        batch: Sequence[object] = [asked]
    else:
        batch = [asked] if set(map(type, asked)) == {int} else asked
    if not batch or int in map(type, batch):
        raise ApiError(
            400, "prompt must be a text, token ids, or a list of either.", param="prompt"
        )
    return tuple(_tokens(each, model, body.add_special_tokens) for each in batch)


def _tokens(prompt: object, model: ServedModel, special: bool) -> tuple[int, ...]:
    if isinstance(prompt, str):
        return tuple(model.tokenizer.encode(prompt, add_special_tokens=special).ids)
    assert isinstance(prompt, list)
    return tuple(prompt)


def _question(
    body: SamplingBody,
    model: ServedModel,
    prompts: tuple[tuple[int, ...], ...],
    max_new: int,
    scores: int | None,
    *,
    echo: tuple[str, ...] = (),
    chat: bool = False,
) -> Question:
    stops = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    if body.stream_options is not None and not body.stream:
        raise ApiError(400, "stream_options needs stream to be true.", param="stream_options")
    if body.priority and not model.by_priority:
        raise ApiError(
            400,
            "priority needs a server that was started with --policy priority.",
            param="priority",
        )
    if (body.n or 1) > model.seats:
        raise ApiError(400, f"n is {body.n}, but the engine has {model.seats} seats.", param="n")
    for prompt in prompts:
        _check_size(prompt, max_new, model, "messages" if chat else "prompt")
    return Question(
        chat=chat,
        prompts=prompts,
        echo=echo,
        max_new=max_new,
        sampling=Sampling(
            temperature=1.0 if body.temperature is None else body.temperature,
            top_k=max(0, body.top_k or 0),
            top_p=body.top_p or 1.0,
            seed=body.seed,
            min_new=min(body.min_tokens, max_new),
            scores=scores,
        ),
        n=body.n or 1,
        stops=stops,
        eos=None if body.ignore_eos else model.eos,
        priority=body.priority,
        stream=bool(body.stream),
        usage=body.stream_options is not None and body.stream_options.include_usage,
    )


def _check_size(prompt: Sequence[int], max_new: int, model: ServedModel, param: str) -> None:
    if not prompt:
        raise ApiError(400, "the prompt is empty: it needs one token at least.", param=param)
    if max(prompt) >= model.vocab:
        sentence = f"token {max(prompt)} is not in the vocabulary of {model.vocab}."
        raise ApiError(400, sentence, param=param)
    if len(prompt) + max_new > model.capacity:
        sentence = (
            f"a prompt of {len(prompt)} tokens and {max_new} new ones are too long: "
            f"one request may have {model.capacity} tokens here."
        )
        raise ApiError(400, sentence, param=param, code="context_length_exceeded")
