"""`course claims`: what the labs on this machine say of nine popular claims."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from course import workspace
from course.errors import ExitCode
from course.labs.files import counting, folder
from course.terminal import console
from graders.experiments.claims import CLAIMS, verdicts
from graders.throughput.hardware import here


@click.command("claims")
@click.option("--json", "as_json", is_flag=True, help="Print them as one JSON object.")
@click.option(
    "--folder", "where", type=click.Path(path_type=Path), help="Where results of labs lie."
)
def command(as_json: bool, where: Path | None) -> ExitCode:
    """Nine popular claims: what was measured here, and whether each held.

    Every verdict is of results of `course lab` on this machine, or there is none, and the reason
    stands beside it.
    """
    judgements = verdicts(*counting(where or folder(workspace.find()), here()))
    if as_json:
        told = {
            claim.number: {
                "claim": claim.text,
                "lab": claim.lab,
                **asdict(judgements[claim.number]),
            }
            for claim in CLAIMS
        }
        sys.stdout.write(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        return ExitCode.PASS
    from course.labs.tables import claims

    screen = console()
    for line in claims(judgements):
        screen.print(line, soft_wrap=True)
    return ExitCode.PASS
