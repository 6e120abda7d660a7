"""An answer that tries to get out of the block of code in which it is shown, in every way that Markdown has."""

import re

from course.nbgrader_glue.literal_text import literal

FENCES = [
    "```",
    "~~~",
    "````````",
    "   ```",
    "\t```",
    "> ```",
    "- ```",
    "``` \u2003",
    "```\x0b",
    "```\x85",
    "\u2028```",
]
MARKUP = "<img src=x onerror=alert(1)> [x](javascript:alert(1)) $\\href{javascript:alert(1)}{x}$"


def attack(folder):
    for fence in FENCES:
        for newline in ("\n", "\r", "\r\n", "\x0c", "\u2028"):
            shown = literal(newline.join(["words", fence, MARKUP, fence])).split("\n")
            opening = re.fullmatch("(`{3,})", shown[0])
            if not opening or shown[-1] != shown[0]:
                yield f"{fence!r} is shown outside of a block"
            elif any(re.match(rf"[ \t>-]*{opening[1]}`*\s*$", line) for line in shown[1:-1]):
                yield f"{fence!r} closes the block that it is in"
            elif any(re.search(r"[\r\x0b\x0c\x85\u2028\u2029]", line) for line in shown):
                yield f"{fence!r} keeps a line end of another kind"
