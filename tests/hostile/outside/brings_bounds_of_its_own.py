"""A workspace with bounds that anybody keeps, for the engines and for the calls: nobody takes them for the course's."""

from graders.throughput.bounds import measures, part_bounds, whose

MEASURE = '[[measure]]\nexercise = 1\nworkload = "ragged"\nagainst = { reference = { floor = 0.001, bound = 0.002 } }\n'
PART = '[[part]]\nexercise = 1\ncalls = "sequences"\nsize = 64\nfloor = 0.0001\nbound = 0.0002\n'


def attack(folder):
    for text in (MEASURE, PART):
        (folder / "bounds.toml").write_text(text)
        lowered = measures(1, beside=folder) != measures(1) or part_bounds(
            1, beside=folder
        ) != part_bounds(1)
        if not lowered:
            yield "the attack changes no bound"
        if str(folder / "bounds.toml") not in whose(1, beside=folder):
            yield "bounds of one's own are not named"
