"""A part whose answers and exceptions would be lines of Python in the script that tells its story."""

import ast
import itertools

from course.story_script import story_script
from graders.registry.catalogue import catalogue

HARM = "__import__('os').system('true')"
ENDS = (
    "\n",
    "\r",
    "\r\n",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x85",
    "\u2028",
    "\u2029",
    '"""\n',
    "'''\n",
    "\\\n",
    "\x00\n",
)


def attack(folder):
    law = catalogue(1).laws[0]
    for end, place in itertools.product(ENDS, range(3)):
        said = [f"nothing{end}{HARM}\n#" if number == place else "nothing" for number in range(3)]
        message, step, expected = said
        script = story_script(
            law, message, [step, step], ["", "answer = 1"], expected, "story_1_1.py"
        )
        calls = [node for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Call)]
        for call in calls:
            if not isinstance(call.func, ast.Name) or call.func.id != "print":
                yield f"{end!r} makes a line of what was said"
