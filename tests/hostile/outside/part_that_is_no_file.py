"""In a workspace the part is a pipe, a link to a device without end, or larger than memory; `course watch` looks."""

import os

from hostile.suite import within

from course.active_file import in_use, text_of
from course.save_events import events  # noqa: F401
from graders.registry.catalogue import catalogue

EXERCISE = catalogue(1)


def pipe(path):
    os.mkfifo(path)


def endless(path):
    path.symlink_to("/dev/zero")


def sparse(path):
    with path.open("wb") as file:
        file.truncate(1 << 40)


def attack(folder):
    for make in (pipe, endless, sparse):
        for name in (EXERCISE.file_name, f"{EXERCISE.slug}.ipynb"):
            home = folder / f"{make.__name__}-{name}"
            home.mkdir()
            make(home / name)
            looked = within(
                10, lambda: text_of(in_use(home / EXERCISE.file_name, EXERCISE), EXERCISE)
            )
            if looked is None:
                yield f"a part that is {make.__name__} keeps whoever looks at {name} waiting"
