"""The page on which answers are read: one question, everybody's answer, the rubric beside it; and
who may open it.

It is served to this machine alone, under an address that holds a token. What students wrote is
escaped; the one script is our own, known by its digest, and nothing is fetched.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

import jinja2
from markupsafe import Markup, escape

from course.nbgrader_glue.answer_sheets import AnswerSheets, Refused
from graders.registry.parts import Number, number_of

LARGEST = 64 << 10  # bytes of what the page sends
HOST = "127.0.0.1"

SCRIPT = """
"use strict";
const left = document.getElementById("left");
function count() { left.textContent = document.querySelectorAll("article.open").length; }
async function save(card) {
  const said = card.querySelector("output"), score = card.querySelector("input").value.trim();
  const points = score === "" ? null : Number(score.replace(",", "."));
  if (Number.isNaN(points)) { said.textContent = "not saved: that is no number"; return; }
  said.textContent = "saving";
  const body = JSON.stringify({ key: card.id, score: points, comment: card.querySelector("textarea").value });
  try {
    const answer = await fetch(location.pathname, {
      method: "POST", headers: { "content-type": "application/json" }, body });
    const told = await answer.json();
    said.textContent = answer.ok ? "saved" : told.problem;
    if (answer.ok) card.classList.toggle("open", told.open);
  } catch { said.textContent = "not saved: nobody answers, is `course instructor read` still running?"; }
  count();
}
for (const card of document.querySelectorAll("article")) {
  card.addEventListener("change", () => save(card));
  for (const button of card.querySelectorAll("button")) button.addEventListener("click", () => {
    card.querySelector("input").value = button.value;
    save(card);
  });
}
count();
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ exercise.title | capitalize }}, question {{ index + 1 }}</title>
<style>
:root { color-scheme: light dark; --line: #8884; --open: #e0a030; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 75rem; padding: 1rem; }
main { display: grid; grid-template-columns: minmax(0, 3fr) minmax(16rem, 2fr); gap: 1.5rem; align-items: start; }
aside { position: sticky; top: 1rem; border-left: 3px solid var(--line); padding-left: 1rem; }
article { border: 1px solid var(--line); border-left: 4px solid var(--line); border-radius: 4px; padding: .6rem 1rem;
  margin-bottom: 1rem; }
article.open { border-left-color: var(--open); }
pre { font: inherit; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0 0 .6rem; }
.none { opacity: .7; font-style: italic; }
input { width: 4rem; } textarea { width: 100%; box-sizing: border-box; margin-top: .4rem; }
input, textarea, button { font: inherit; }
h1 { font-size: 1.25rem; } h2 { font-size: 1rem; }
nav a { margin-right: 1rem; } nav a[aria-current] { font-weight: bold; }
@media (max-width: 45rem) { main { grid-template-columns: 1fr; } aside { position: static; order: -1; } }
</style>
</head>
<body>
<nav>{% for _ in questions %}<a href="{{ loop.index }}"
 {%- if loop.index0 == index %} aria-current="page"{% endif %}>Question {{ loop.index }}</a>{% endfor %}</nav>
<h1>{{ question.text | prose }}</h1>
<p>{{ answers | length }} answers, without names and in no order; <span id="left"></span> wait for you.</p>
<main>
<div>{% for answer in answers %}
<article id="{{ answer.key }}"{% if answer.open %} class="open"{% endif %}>
{% if answer.text %}<pre>{{ answer.text }}</pre>{% else %}<p class="none">Nothing was answered.</p>{% endif %}
<label>Points <input inputmode="decimal" value="{{ '' if answer.score is none else '%g' % answer.score }}"></label>
of {{ question.points }}
{% for points in steps %}<button type="button" value="{{ '%g' % points }}">{{ '%g' % points }}</button>
{% endfor %}<output></output>
<textarea rows="2" placeholder="comment, for the student" aria-label="comment">{{ answer.comment }}</textarea>
</article>{% else %}<p>Nobody's answer was entered yet: grade the class first.</p>{% endfor %}</div>
<aside><h2>A good answer</h2><p>{{ question.answer | prose }}</p></aside>
</main>
<script>{{ script }}</script>
</body>
</html>
"""
DIGEST = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; "
    f"script-src 'sha256-{DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def render(sheet: AnswerSheets, index: int) -> str:
    """The page of a question, counted from 0."""
    question = sheet.questions[index]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["prose"] = _prose
    return environment.from_string(PAGE).render(
        exercise=sheet.exercise,
        questions=sheet.questions,
        question=question,
        index=index,
        answers=sheet.answers(index),
        steps=[question.points * share / 4 for share in range(5)],
        script=Markup(SCRIPT),
    )


def _prose(text: str) -> Markup:
    """The course's own words, with what is stressed in them and what is code; everything else
    escaped."""
    said = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"\*([^*]+)\*", r"<em>\1</em>", said))


def server(
    sheets: Sequence[AnswerSheets], token: str = "", port: int = 0
) -> tuple[HTTPServer, str]:
    """A server of the pages, not yet running, and the address of the first:
    /TOKEN/EXERCISE/QUESTION.

    One request at a time reads or writes; threads are there for the connections on which browsers
    say nothing.

    OSError when it cannot listen at the port; 0 takes any.
    """
    token = token or secrets.token_urlsafe(24)
    by_number = {sheet.exercise.number: sheet for sheet in sheets}

    class Handler(_Handler):
        pass

    Handler.token, Handler.sheets, Handler.turn = token, by_number, threading.Lock()
    made = ThreadingHTTPServer((HOST, port), Handler)
    Handler.hosts = {f"{name}:{made.server_port}" for name in (HOST, "localhost")}
    return made, f"http://{HOST}:{made.server_port}/{token}/{next(iter(by_number))}/1"


class _Handler(BaseHTTPRequestHandler):
    """Answers whoever knows the token and speaks to this machine by its own name."""

    token: str
    sheets: dict[Number, AnswerSheets]
    hosts: set[str]
    turn: threading.Lock
    timeout = 30  # seconds that a browser may keep a connection open and say nothing

    def do_GET(self) -> None:
        found = self._place()
        if found:
            with self.turn:
                page = render(*found)
            self._say(200, page, "text/html; charset=utf-8")

    def do_POST(self) -> None:
        found = self._place()
        if not found:
            return
        sheet, index = found
        try:
            size = int(self.headers.get("content-length", ""))
            if not 0 <= size <= LARGEST or self.headers.get_content_type() != "application/json":
                raise ValueError("no message of ours")
            typed = json.loads(self.rfile.read(size))
            score = None if typed["score"] is None else float(typed["score"])
            with self.turn:
                answer = sheet.save(index, str(typed["key"]), score, str(typed["comment"]))
        except Refused as refused:
            self._tell(400, problem=str(refused))
        except (ValueError, TypeError, KeyError, RecursionError):
            self._tell(400, problem="That is no number.")
        except (
            Exception
        ) as trouble:  # a gradebook that is locked or gone: the page says so and nothing is lost
            self._tell(503, problem=f"Not saved: {type(trouble).__name__}; try again.")
        else:
            self._tell(200, open=answer.open)

    def _place(self) -> tuple[AnswerSheets, int] | None:
        """Which question is meant; who does not know the token learns nothing."""
        parts = self.path.partition("?")[0].split("/")[1:]
        known = self.headers.get("host", "") in self.hosts and len(parts) == 3
        if known and hmac.compare_digest(parts[0].encode(), self.token.encode()):
            sheet, asked = self.sheets.get(number_of(parts[1])), parts[2]
            if (
                sheet
                and re.fullmatch("[0-9]{1,4}", asked)
                and 1 <= int(asked) <= len(sheet.questions)
            ):
                return sheet, int(asked) - 1
        self._say(404, "There is nothing here.\n", "text/plain; charset=utf-8")
        return None

    def _tell(self, status: int, **told: object) -> None:
        self._say(status, json.dumps(told), "application/json")

    def _say(self, status: int, text: str, kind: str) -> None:
        data = text.encode("utf-8", "replace")
        self.send_response(status)
        for name, value in {
            **HEADERS,
            "Content-Type": kind,
            "Content-Length": str(len(data)),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the address holds the token."""
