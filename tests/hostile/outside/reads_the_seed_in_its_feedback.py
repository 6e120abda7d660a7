"""Looks for the seed of its marking, in any writing, in all that a student is shown of a part that fails."""

from pathlib import Path

import solutions
from graders.batch.grade_job import decide
from graders.batch.jobs import seed_of
from graders.batch.journal import SALT_BITS
from graders.registry.catalogue import catalogue
from graders.reports import writing
from graders.reports.row import Row

LEAST = 128


def attack(folder):
    if SALT_BITS < LEAST:
        yield f"a salt of {SALT_BITS} bits can be tried"
    entry = catalogue(1)
    text = Path(solutions.__path__[0], entry.slug, entry.file_name).read_text()
    part = folder / entry.file_name
    part.write_text(text.replace("return len(self._free)", "return len(self._free) + 1"))
    seed = seed_of("key", 1 << (SALT_BITS - 1))
    result = decide(1, part, seed, laws_only=True, require="L1", only=("1.1", "1.2"))
    if result.passed:
        yield "the part does not fail"
    said = [str(seed), f"{seed:x}", f"{seed:X}", f"{seed:o}", f"{seed:b}"]
    for kind in ("gradescope", "github", "check", "markdown", "junit"):
        told = writing.render(kind, [Row("bob", 1, result, source=entry.file_name)])
        if any(word in told for word in said):
            yield f"{kind} tells the seed"
