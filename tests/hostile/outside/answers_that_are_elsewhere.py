"""A hand-in whose answers, notebook or part are links to what others must not read, in a folder and in an archive."""

import stat
import zipfile

from course.nbgrader_glue import answer_sheet
from graders.batch.discovery import Discovery

SECRET = "the salt of this course"
NAMES = ("explain.md", "ex1_paged_allocation.ipynb", "block_manager.py")


def attack(folder):
    secret = folder / "secret"
    secret.write_text(
        f"# Explain it back: exercise 1, x\n## Question 1 (5 points)\n### Your answer\n{SECRET}\n"
    )
    students = folder / "class"
    for name in NAMES:
        home = students / f"links_{name.partition('.')[0]}"
        home.mkdir(parents=True)
        (home / name).symlink_to(secret)
        with zipfile.ZipFile(students / f"packs_{name.partition('.')[0]}.zip", "w") as archive:
            entry = zipfile.ZipInfo(f"ex1_paged_allocation/{name}")
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, str(secret))
    for each in Discovery((1,)).all([students]):
        if SECRET.encode() in each.data or SECRET in each.job.problem:
            yield f"{each.job.student} reads what a link leads to"
        if SECRET in answer_sheet.text(*each.job.answers):
            yield f"the answers of {each.job.student} are read where a link leads"
