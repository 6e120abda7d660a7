"""A file that becomes a link to a neighbour's, and a file again, hundreds of times while it is read."""

import os
import threading

from graders.submissions.submission_reader import Declared, UnusableSubmission, take

DECLARED = Declared(
    "block_manager.py", "exercises/ex1_paged_allocation", "block_manager", ("BlockManager",)
)


def attack(folder):
    neighbour, home = folder / "neighbour.py", folder / "mine"
    neighbour.write_text("class BlockManager:\n    neighbours = True\n")
    home.mkdir()
    part, own, link, done = (
        home / "block_manager.py",
        home / "own",
        home / "link",
        threading.Event(),
    )

    def exchange():
        while not done.is_set():
            own.write_text("class BlockManager:\n    pass\n")
            os.replace(own, part)
            link.symlink_to(neighbour)
            os.replace(link, part)

    exchanging = threading.Thread(target=exchange)
    exchanging.start()
    try:
        for _ in range(300):
            try:
                if b"neighbours" in take(part, DECLARED).data:
                    yield "the neighbour's part is read as one's own"
            except UnusableSubmission:
                continue
    finally:
        done.set()
        exchanging.join()
