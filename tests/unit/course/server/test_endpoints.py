"""What clients ask for and get: completions and chats, whole and streamed, in OpenAI's form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("starlette")

from servers import open_server, solved, waiter
from starlette.testclient import TestClient

from reference_engine import oracle
from reference_engine.engine import Engine
from reference_engine.sampler import Sampling
from reference_engine.waiter.corpus import (
    END,
    GUESTS,
    TABLES,
    WAITERS,
    Party,
    introduction,
    menu_prompt,
)
from reference_engine.waiter.menu import restaurants

HOUSE = restaurants()[0]
ASKED = f"How much is the {HOUSE.dishes[0].name}?"
PROMPT = (
    menu_prompt(HOUSE)
    + introduction(Party(HOUSE, WAITERS[0], TABLES[0], GUESTS[:1]))
    + f"Guest {GUESTS[0]}: {ASKED}\nWaiter:"
)
SHORT = {"model": "waiter", "prompt": "Waiter:", "max_tokens": 4, "temperature": 0}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with open_server() as (client, _):
        yield client


def events(client: TestClient, path: str, body: dict[str, Any]) -> list[Any]:
    """What a stream says, [DONE] left out."""
    answer = client.post(path, json=body | {"stream": True})
    assert answer.status_code == 200, answer.text
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_a_chat_is_the_talk_that_the_waiter_was_trained_on(client: TestClient) -> None:
    body = {"model": "waiter", "messages": [{"role": "user", "content": ASKED}], "temperature": 0}
    told = client.post("/v1/chat/completions", json=body).json()
    choice = told["choices"][0]
    assert f"{HOUSE.dishes[0].euros} euros" in choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    ids = waiter().tokenizer.encode(PROMPT).ids
    assert told["usage"]["prompt_tokens"] == len(ids)
    due = oracle.greedy(waiter(), ids, 64, waiter().tokenizer.token_to_id(END))
    assert choice["message"]["content"] == waiter().tokenizer.decode(due)
    assert told["usage"]["completion_tokens"] == len(due)


def test_a_stream_says_the_same_piece_by_piece(client: TestClient) -> None:
    body = {"model": "waiter", "messages": [{"role": "user", "content": ASKED}], "temperature": 0}
    whole = client.post("/v1/chat/completions", json=body).json()["choices"][0]
    told = events(client, "/v1/chat/completions", body)
    assert told[0]["choices"][0]["delta"]["role"] == "assistant"
    pieces = [each["choices"][0]["delta"].get("content", "") for each in told]
    assert "".join(pieces) == whole["message"]["content"]
    assert len([piece for piece in pieces if piece]) > 3
    assert [each["choices"][0]["finish_reason"] for each in told][-1] == "stop"
    assert {each["object"] for each in told} == {"chat.completion.chunk"}


def test_a_completion_is_the_same_from_text_and_from_tokens(client: TestClient) -> None:
    ids = waiter().tokenizer.encode("Waiter:").ids
    texts = [
        client.post("/v1/completions", json=SHORT | {"prompt": prompt}).json()["choices"][0]["text"]
        for prompt in ("Waiter:", ids, [ids], ["Waiter:"])
    ]
    assert len(set(texts)) == 1
    assert texts[0]


def test_a_batch_of_prompts_and_n_answers_are_choices_in_order(client: TestClient) -> None:
    body = SHORT | {"prompt": ["Waiter:", "Guest"], "n": 2, "temperature": 1, "seed": 5}
    told = client.post("/v1/completions", json=body).json()
    assert [choice["index"] for choice in told["choices"]] == [0, 1, 2, 3]
    alone = [
        client.post(
            "/v1/completions", json=SHORT | {"prompt": prompt, "temperature": 1, "seed": seed}
        ).json()
        for prompt in ("Waiter:", "Guest")
        for seed in (5, 6)
    ]
    assert [each["text"] for each in told["choices"]] == [
        each["choices"][0]["text"] for each in alone
    ]


def test_usage_comes_last_when_it_is_asked_for(client: TestClient) -> None:
    told = events(client, "/v1/completions", SHORT | {"stream_options": {"include_usage": True}})
    assert told[-1]["choices"] == []
    assert told[-1]["usage"]["completion_tokens"] == 4
    assert all(each["usage"] is None for each in told[:-1])


def test_a_stop_string_ends_the_answer_before_it_wherever_tokens_end(client: TestClient) -> None:
    free = client.post("/v1/completions", json=SHORT | {"prompt": PROMPT, "max_tokens": 20}).json()
    text = free["choices"][0]["text"]
    for start in range(2, len(text) - 4):
        stop = text[start : start + 4]
        told = client.post(
            "/v1/completions", json=SHORT | {"prompt": PROMPT, "max_tokens": 20, "stop": stop}
        )
        choice = told.json()["choices"][0]
        assert (choice["text"], choice["finish_reason"]) == (text[: text.find(stop)], "stop")


def test_echo_repeats_the_prompt(client: TestClient) -> None:
    plain = client.post("/v1/completions", json=SHORT).json()["choices"][0]["text"]
    assert (
        client.post("/v1/completions", json=SHORT | {"echo": True}).json()["choices"][0]["text"]
        == f"Waiter:{plain}"
    )
    told = events(client, "/v1/completions", SHORT | {"echo": True})
    assert "".join(each["choices"][0]["text"] for each in told) == f"Waiter:{plain}"


def test_logprobs_are_the_models_own(client: TestClient) -> None:
    told = client.post("/v1/completions", json=SHORT | {"logprobs": 3}).json()["choices"][0]
    scores = told["logprobs"]
    assert "".join(scores["tokens"]) == told["text"]
    assert len(scores["token_logprobs"]) == len(scores["top_logprobs"]) == 4
    for logprob, top, token in zip(
        scores["token_logprobs"], scores["top_logprobs"], scores["tokens"], strict=True
    ):
        assert logprob == max(top.values()) == top[token] <= 0
    body = {"model": "waiter", "messages": [{"role": "user", "content": ASKED}], "max_tokens": 3}
    chat = client.post(
        "/v1/chat/completions", json=body | {"logprobs": True, "top_logprobs": 2}
    ).json()
    content = chat["choices"][0]["logprobs"]["content"]
    assert [len(each["top_logprobs"]) for each in content] == [2, 2, 2]
    streamed = events(client, "/v1/completions", SHORT | {"logprobs": 3})
    joined = [each["choices"][0]["logprobs"] for each in streamed if each["choices"][0]["logprobs"]]
    assert [each["token_logprobs"][0] for each in joined] == scores["token_logprobs"]


def test_eos_is_ignored_or_put_off_when_asked(client: TestClient) -> None:
    body = SHORT | {"prompt": PROMPT, "max_tokens": 40}
    plain = client.post("/v1/completions", json=body).json()
    assert plain["choices"][0]["finish_reason"] == "stop"
    ignored = client.post("/v1/completions", json=body | {"ignore_eos": True}).json()
    assert ignored["usage"]["completion_tokens"] == 40
    assert ignored["choices"][0]["finish_reason"] == "length"
    least = plain["usage"]["completion_tokens"] + 3
    later = client.post("/v1/completions", json=body | {"min_tokens": least}).json()
    assert later["usage"]["completion_tokens"] > least - 1


def test_a_seeded_draw_is_the_engines_own(client: TestClient) -> None:
    ids = waiter().tokenizer.encode("Guest").ids
    engine = Engine(waiter(), solved(), num_blocks=50)
    due = list(engine.stream(ids, 8, Sampling(temperature=1.3, top_k=20, top_p=0.9, seed=7)))
    rule = {
        "temperature": 1.3,
        "top_k": 20,
        "top_p": 0.9,
        "seed": 7,
        "max_tokens": 8,
        "ignore_eos": True,
    }
    told = client.post("/v1/completions", json=SHORT | rule | {"prompt": ids}).json()
    assert told["choices"][0]["text"] == waiter().tokenizer.decode(due)


def test_priority_needs_the_policy(client: TestClient) -> None:
    assert client.post("/v1/completions", json=SHORT | {"priority": 1}).status_code == 400
    with open_server(policy="priority") as (other, _):
        assert other.post("/v1/completions", json=SHORT | {"priority": 1}).status_code == 200


def test_models_tokens_and_health(client: TestClient) -> None:
    assert [card["id"] for card in client.get("/v1/models").json()["data"]] == ["waiter"]
    tokens = client.post("/tokenize", json={"prompt": ASKED}).json()["tokens"]
    assert (
        client.post("/detokenize", json={"tokens": tokens}).json()["prompt"] == f"<|begin|>{ASKED}"
    )
    assert client.get("/health").json()["status"] == "ok"


def test_metrics_count_under_the_names_of_vllm() -> None:
    with open_server() as (client, _):
        client.post("/v1/completions", json=SHORT | {"prompt": PROMPT, "n": 2})
        text = client.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    label = '{model_name="waiter"}'
    assert values[f"vllm:generation_tokens_total{label}"] == "8"
    assert (
        values[f"vllm:num_requests_running{label}"]
        == values[f"vllm:num_requests_waiting{label}"]
        == "0"
    )
    assert values[f"vllm:time_to_first_token_seconds_count{label}"] == "2"
    assert values[f"vllm:inter_token_latency_seconds_count{label}"] == "6"
    assert values['vllm:request_success_total{model_name="waiter",finished_reason="length"}'] == "2"
    assert float(values[f"vllm:prefix_cache_hits_total{label}"]) > 0


@pytest.mark.parametrize("field", ["presence_penalty", "frequency_penalty"])
def test_neutral_values_of_what_is_not_served_are_accepted(client: TestClient, field: str) -> None:
    assert client.post("/v1/completions", json=SHORT | {field: 0, "best_of": 1}).status_code == 200
    refused = client.post("/v1/completions", json=SHORT | {field: 0.5})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, field)
