"""Words of guests, and names of a model, that would be elements of the page that shows the engine at work."""

import re

from course.window.page import EngineRun, Window

HARM = "</script><script>alert(1)</script><img src=x onerror=alert(1)><!--"


def attack(folder):
    harmless = Window("a", (EngineRun("a", 4, 4, names={1: "a"}),), {1: "a"})
    harmful = Window(HARM, (EngineRun(HARM, 4, 4, names={1: HARM}),), {1: HARM})
    for made, told in (
        (harmless.html(), harmful.html()),
        (harmless._repr_html_(), harmful._repr_html_()),
    ):
        if re.findall(r"<[a-z!/]\w*", made) != re.findall(r"<[a-z!/]\w*", told):
            yield "what is shown has become an element"
