"""In the folder of a batch: full marks that nobody signed, and a neighbour's, signed, in one's own place."""

import json

from graders.batch import batch
from graders.batch.discovery import Discovery
from graders.batch.grade_job import pack, without_a_try
from graders.batch.jobs import Options
from graders.batch.journal import Journal
from graders.batch.seal import Seal
from graders.result import Outcome


def attack(folder):
    for name in ("good", "bad"):
        (folder / "class" / name).mkdir(parents=True)
        (folder / "class" / name / "block_manager.py").write_text(
            f"class BlockManager:\n    {name} = True\n"
        )
    journal, options = Journal(folder / "journal"), Options(laws_only=True, grader="0")
    plan = batch.plan(journal, Discovery((1,), options).all([folder / "class"]), options)
    jobs = {job.student: job for job in plan.jobs}
    marks = without_a_try(jobs["good"], "Not graded.", Outcome.PASS)
    journal.store(jobs["good"], marks)
    results, mine = folder / "journal" / "results", jobs["bad"].key
    forged = [
        (results / f"{jobs['good'].key}.json").read_bytes(),
        pack(marks),
        json.dumps(Seal(folder).signed(json.loads(pack(marks)), mine)).encode(),
    ]
    for text in forged:
        (results / f"{mine}.json").write_bytes(text)
        journal.commit(plan)
        if "bad" in {row.student for row in journal.committed()}:
            yield "a result that was not given is entered"
    line = {
        "student": "bad",
        "exercise": 1,
        "source": "",
        "key": jobs["good"].key,
        "quarantined": False,
    }
    with (folder / "journal" / "journal.jsonl").open("a") as lines:
        lines.write(json.dumps(Seal(folder).signed(line, "line")) + "\n")
    if "bad" in {row.student for row in Journal(folder / "journal").committed()}:
        yield "a line that was not written is read"
