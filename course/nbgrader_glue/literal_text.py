"""A student's own words in a notebook that others open: shown letter by letter, never read as
markup.

nbgrader's Formgrader and its feedback turn the Markdown of an answer into HTML as it stands,
scripts included, and let MathJax act on what is left, which knows links too. Neither looks inside a
block of code.
"""

from __future__ import annotations

import re
import textwrap

from course.terminal import clean
from graders.reports.markdown import fence

PLAIN = re.compile(
    r"""(?:[^\W_]|[ \n,.;:?!'"()]|(?<=[^\W_])-(?=[^\W_]))*"""
)  # letters and signs that Markdown leaves alone
WIDTH = 100  # a block of code is shown line by line as it is written


def literal(text: str) -> str:
    """Markdown that shows `text` and does nothing else: words as they are, else a block of code
    with lines wrapped."""
    if PLAIN.fullmatch(text):
        return text
    lines = [piece for line in clean(text).expandtabs(4).split("\n") for piece in _wrapped(line)]
    return "\n".join([fence(text), *lines, fence(text)])


def _wrapped(line: str) -> list[str]:
    wrap = textwrap.TextWrapper(
        WIDTH, drop_whitespace=False, replace_whitespace=False, break_on_hyphens=False
    )
    return wrap.wrap(line) or [""]
