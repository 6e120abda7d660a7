"""A page that claims one exercise a thousand times, each to be judged, and one with words that are never washed."""

import time

from course.certificate import NoCertificate, Passed, page, read_page
from course.terminal import clean
from graders.batch.grade_job import without_a_try
from graders.batch.jobs import GradeJob
from graders.result import Outcome

RESULT = without_a_try(GradeJob("bob", 1, "x", "x", "k"), "", Outcome.PASS)


def attack(folder):
    path = folder / "page.html"
    path.write_text(
        page([Passed(1, "2026", "here", f"# {number}", RESULT) for number in range(1000)], "bob")
    )
    try:
        if len(read_page(path)) > 1:
            yield "one exercise is judged as often as the page says"
    except NoCertificate:
        pass
    seconds = []
    for count in (2_000, 8_000):
        began = time.process_time()
        for _ in range(8 * 8_000 // count):  # as many letters in all
            clean("\x1b]" * count)
        seconds.append(time.process_time() - began)
    if seconds[1] > 2 * seconds[0]:
        yield f"four times the escapes cost {4 * seconds[1] / seconds[0]:.0f} times as much"
