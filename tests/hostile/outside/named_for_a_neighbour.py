"""Files that are named for a neighbour who handed in, in every way in which a name is taken out of another."""

from graders.batch.discovery import Discovery
from graders.submissions.roster import Roster

PART = "class BlockManager:\n    {} = True\n"
NAMES = [
    "bob_block_manager.py",
    "block_manager_bob.py",
    "ex1_paged_allocation-bob.py",
    "BOB_block_manager.py",
]
NAMES += [
    "bob block_manager (1).py",
    "block_manager.bob.py",
    "bob_block_manager.py.txt",
    "bob_block_manager.txt",
]


def attack(folder):
    for roster in (Roster(), Roster(("bob", "eve"))):
        for number, name in enumerate(NAMES):
            students = folder / f"{len(roster.ids)}-{number}"
            (students / "bob").mkdir(parents=True)
            (students / "bob" / "block_manager.py").write_text(PART.format("bobs"))
            (students / name).write_text(PART.format("eves"))
            mine = [
                each
                for each in Discovery((1,), roster=roster).all([students])
                if each.job.student == "bob"
            ]
            if len(mine) != 1 or b"bobs" not in mine[0].data:
                yield f"{name} takes the place of what bob handed in"
