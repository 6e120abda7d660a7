"""A sheet of answers that is all headings: whoever looks for the answers in it looks from each of them to the end.

What is found takes no longer than its length asks for.
"""

import time

from course.exercise_text.questions import answers, unanswered


def attack(folder):
    seconds = []
    for count in (50, 200):
        sheet = "## Question 1 (5 points)\n\n" * count
        began = time.process_time()
        for _ in range(20 * 200 // count):  # as many headings in all
            answers(sheet)
            unanswered(sheet)
        seconds.append(time.process_time() - began)
    if seconds[1] > 4 * seconds[0]:
        yield f"four times the headings cost {4 * seconds[1] / seconds[0]:.0f} times as much"
    if (
        len(
            answers("## Question 1 (5 points)\n\n### Your answer\nmine\n## Question 2 (5 points)\n")
        )
        != 2
    ):
        yield "a question that was not answered takes the place of another"
