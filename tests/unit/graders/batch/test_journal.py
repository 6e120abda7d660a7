"""The folder a batch lives in: what survives a kill, who may work on what, and when nobody tries
again."""

from __future__ import annotations

import errno
import hmac
import json
import multiprocessing
import os
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from wrong_parts import wrong_parts

from course.targets import stub_of
from graders.batch import batch, lease, storage, worker_loop
from graders.batch.device_lock import alone, shared
from graders.batch.discovery import Discovery
from graders.batch.grade_job import judge, pack, unpack, without_a_try
from graders.batch.jobs import Options, seed_of
from graders.batch.journal import BadJournal, BatchPlan, Journal
from graders.batch.pool import WorkerPool, environment
from graders.batch.seal import Seal
from graders.batch.worker_loop import work
from graders.registry.catalogue import catalogue
from graders.reports import words
from graders.result import ExerciseResult, Outcome

STUB = stub_of(catalogue(3))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Three students, two of whom hand in the same stub; planned and not graded."""
    for name, remark in (("ada", "one"), ("bob", "one"), ("cyd", "two")):
        (tmp_path / "class" / name).mkdir(parents=True)
        (tmp_path / "class" / name / "prefix_cache.py").write_text(f"{STUB}# {remark}\n")
    made = Journal(tmp_path / "journal")
    options = Options(laws_only=True)
    batch.plan(made, Discovery((3,), options).all([tmp_path / "class"]), options, seed=1)
    return made


def ungraded(journal: Journal, reason: str) -> ExerciseResult:
    return without_a_try(journal.plan().jobs[0], reason)


# ---------------------------------------------------------------- storage


def test_the_first_result_is_kept(tmp_path: Path) -> None:
    assert storage.keep_first(tmp_path / "a", b"first")
    assert not storage.keep_first(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a"]


def test_the_first_result_is_kept_on_disks_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    assert storage.keep_first(tmp_path / "a", b"first")
    assert not storage.keep_first(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_torn_last_line_is_passed_over_and_closed_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal.jsonl"
    storage.append(path, [{"n": 1}, {"n": 2}])
    path.write_bytes(path.read_bytes()[:-cut])
    kept = list(storage.lines(path))
    storage.append(path, [{"n": 3}])
    assert kept == [{"n": 1}, {"n": 2}][: 2 if cut == 1 else 1]
    assert list(storage.lines(path)) == [*kept, {"n": 3}]


def test_a_changed_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    storage.append(path, [{"points": 10}, {"points": 20}])
    path.write_text(path.read_text().replace('"points": 10', '"points": 99'))
    assert list(storage.lines(path)) == [{"points": 20}]


# ---------------------------------------------------------------- leases


def test_a_job_is_claimed_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(8) as pool:
        won = pool.starmap(_claims, [(tmp_path, "job")] * 8)
    assert sum(won) == 1


def _claims(folder: Path, key: str) -> bool:
    got = lease.acquire(folder, key) is not None
    time.sleep(0.2)  # the holder lives while the others try
    return got


def test_what_a_dead_process_held_is_taken_over_at_once(tmp_path: Path) -> None:
    code = f"from pathlib import Path; from graders.batch import lease; lease.acquire(Path({str(tmp_path)!r}), 'job')"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[4])
    taken = lease.acquire(tmp_path, "job")
    assert taken is not None
    assert taken.generation == 1


def test_a_lease_of_another_host_lives_by_its_heartbeat(tmp_path: Path) -> None:
    path = tmp_path / "job.0"
    path.write_text(json.dumps(["another-host", "boot", 1, "1"]))
    assert lease.acquire(tmp_path, "job") is None
    old = time.time() - lease.ABANDONED - 5
    os.utime(path, (old, old))
    assert lease.acquire(tmp_path, "job") is not None


@pytest.mark.parametrize("days", [1, 365])
@pytest.mark.parametrize("text", ["", "another-host", "here"])
def test_a_lease_from_tomorrow_holds_nothing(tmp_path: Path, days: int, text: str) -> None:
    path = tmp_path / "job.0"
    held = lease.acquire(tmp_path, "job")
    assert held is not None
    path.write_text(
        {
            "another-host": json.dumps(["another-host", "boot", 1, "1"]),
            "here": path.read_text(),
        }.get(text, "")
    )
    os.utime(path, (time.time() + days * 86400,) * 2)
    assert lease.acquire(tmp_path, "job") is not None


def test_a_lease_of_another_user_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        (tmp_path / f"job.{number}").write_text(json.dumps(["another-host", "boot", 1, "1"]))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    taken = lease.acquire(tmp_path, "job")
    assert taken is not None
    assert (taken.generation, taken.starts) == (3, 0)


def test_a_lease_that_is_a_link_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "kept-warm").write_text(json.dumps(["another-host", "boot", 1, "1"]))
    (tmp_path / "job.0").symlink_to(tmp_path / "kept-warm")
    assert lease.acquire(tmp_path, "job") is not None


def test_a_holder_keeps_its_lease_warm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT", 0.02)
    held = lease.acquire(tmp_path, "job")
    assert held is not None
    os.utime(held.path, (0, 0))
    with held:
        deadline = time.monotonic() + 60
        while held.path.stat().st_mtime == 0:
            assert time.monotonic() < deadline
    assert lease.abandoned(held.path)  # let go when left


def test_an_unsigned_lease_is_not_taken_while_its_holder_may_still_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "UNSIGNED", 600.0)
    (tmp_path / "job.0").touch()
    assert lease.acquire(tmp_path, "job") is None
    old = time.time() - lease.UNSIGNED - 5
    os.utime(tmp_path / "job.0", (old, old))
    assert lease.acquire(tmp_path, "job") is not None


# ---------------------------------------------------------------- results


def test_equal_parts_are_graded_once_and_everybody_has_a_row(journal: Journal) -> None:
    assert work(journal).graded == 2
    done = batch.close(journal, journal.plan())
    assert [(row.student, row.result.outcome) for row in done.rows] == [
        (name, "fail") for name in ("ada", "bob", "cyd")
    ]
    assert done.entered == 3
    assert [row.student for row in journal.committed()] == ["ada", "bob", "cyd"]


def test_entering_again_enters_nothing(journal: Journal) -> None:
    work(journal)
    assert journal.commit(journal.plan()) == 3
    before = (journal.root / "journal.jsonl").read_bytes()
    assert journal.commit(journal.plan()) == 0
    assert (journal.root / "journal.jsonl").read_bytes() == before


def test_a_result_comes_back_as_it_was(journal: Journal) -> None:
    plan = journal.plan()
    job = plan.jobs[0]
    result = judge(job, journal.file(job, plan.options), plan.options, 1)
    assert unpack(pack(result)) == result


def test_a_timed_law_is_skipped_in_its_place_when_its_needs_are_not_met(journal: Journal) -> None:
    plan = journal.plan()
    part = journal.root / "prefix_cache.py"
    part.write_text(wrong_parts(3)[0].text)
    result = judge(replace(plan.jobs[0], key="wrong"), part, Options(), 1)
    assert [law.number for law in result.laws] == [law.number for law in catalogue(3).laws]
    timed = {law.number for law in catalogue(3).laws if law.kind == "throughput"}
    assert {law.message[:6] for law in result.laws if law.number in timed} <= {"needs "}
    assert result.max_points == catalogue(3).points


def test_a_damaged_result_is_graded_again(journal: Journal) -> None:
    work(journal)
    plan = journal.plan()
    damaged = journal.root / "results" / f"{plan.jobs[0].key}.json"
    damaged.write_bytes(damaged.read_bytes()[:100])
    journal.commit(plan)
    assert [job.key for job in journal.pending(plan)] == [plan.jobs[0].key]


def test_a_part_changed_after_planning_is_not_graded(journal: Journal) -> None:
    plan = journal.plan()
    job = plan.jobs[0]
    journal.file(job, plan.options).write_text("class PrefixCache: pass")
    with pytest.raises(OSError, match="is not what was handed in"):
        journal.file(job, plan.options)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"jobs": 7}', '{"jobs": [], "options": {}, "salt": 1, "format": 99}']
)
def test_a_folder_without_a_plan_is_no_journal(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(BadJournal):
        Journal(tmp_path).plan()


# ---------------------------------------------------------------- ungraded


def test_after_more_than_two_ungraded_tries_nobody_tries_again(journal: Journal) -> None:
    job = journal.plan().jobs[0]
    for number in range(3):
        assert not journal.settled(job.key)
        journal.store(job, ungraded(journal, f"Not graded: reason {number}"))
    assert journal.settled(job.key)
    (row,) = [row for row in journal.rows(journal.plan()) if row.student == job.student]
    assert row.quarantined
    assert words.state(row) == "quarantined"
    assert row.attempts == ("Not graded: reason 0", "Not graded: reason 1", "Not graded: reason 2")


def test_what_is_let_out_of_quarantine_is_tried_again(journal: Journal) -> None:
    job = journal.plan().jobs[0]
    for _ in range(3):
        journal.store(job, ungraded(journal, "Not graded"))
    assert journal.retry() == 1
    assert not journal.settled(job.key)
    work(journal)
    assert all(words.state(row) == "fail" for row in journal.rows(journal.plan()))


def test_a_fault_of_the_grader_is_no_zero(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumbles(*_: object) -> ExerciseResult:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(worker_loop, "judge", stumbles)
    work(journal)
    for row in journal.rows(journal.plan()):
        assert words.state(row) == "quarantined"
        assert "the grader itself stumbled, ZeroDivisionError" in row.problem
        assert all(law.outcome is Outcome.UNGRADED for law in row.result.laws)


def test_a_job_that_kills_its_grader_is_quarantined_and_the_batch_goes_on(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = journal.plan()
    poison = plan.jobs[0].key
    code = (
        "import os, sys; from pathlib import Path; from graders.batch import worker_loop\n"
        "from graders.batch.__main__ import main\n"
        "judge = worker_loop.judge\n"
        "dies = lambda: os.kill(os.getpid(), 9)\n"
        f"worker_loop.judge = lambda job, *rest: dies() if job.key == {poison!r} else judge(job, *rest)\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    monkeypatch.setattr("graders.batch.pool.start", lambda made, number: _worker(made, code))
    with WorkerPool(journal, plan, 2) as pool:
        pool.run(lambda count: None)
    states = {row.student: words.state(row) for row in journal.rows(plan)}
    assert states == {"ada": "quarantined", "bob": "quarantined", "cyd": "fail"}
    assert (
        journal.attempts(poison)[0]
        == "Not graded: the process that graded it was killed by SIGKILL."
    )


def _worker(journal: Journal, code: str) -> subprocess.Popen[bytes]:
    home = str(Path(__file__).parents[4])
    return subprocess.Popen(
        [sys.executable, "-c", code, str(journal.root)], stdin=subprocess.PIPE, cwd=home
    )


def test_a_full_disk_is_a_row_and_the_others_go_on(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = journal.plan()
    unlucky = journal.root / "results" / f"{plan.jobs[0].key}.json"
    keep_first = storage.keep_first

    def full(path: Path, data: bytes) -> bool:
        if path == unlucky:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return keep_first(path, data)

    monkeypatch.setattr(storage, "keep_first", full)
    tally = work(journal)
    assert (tally.graded, tally.unsaved) == (1, 1)
    assert "No space left on device" in tally.reason
    rows = batch.close(journal, plan, batch.FULL).rows
    assert [words.state(row) for row in rows] == ["ungraded", "ungraded", "fail"]
    assert "the disk may be full" in rows[0].problem


def test_a_later_run_grades_what_could_not_be_stored(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(storage, "keep_first", _no_space)
        assert work(journal).unsaved == 2
    assert work(journal).graded == 2


def _no_space(path: Path, data: bytes) -> bool:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


# ---------------------------------------------------------------- workers


def test_a_worker_sees_no_secret_of_the_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN", "RUNNER_TRACKING_ID"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("KEPT", "yes")
    found = environment()
    assert "secret" not in found.values()
    assert found["KEPT"] == "yes"


def test_a_module_beside_the_submissions_is_not_imported(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('imported')")
    (tmp_path / "graders.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    with WorkerPool(journal, journal.plan(), 1) as pool:
        pool.run(lambda count: None)
    assert all(words.state(row) == "fail" for row in journal.rows(journal.plan()))


def test_a_worker_whose_log_cannot_be_written_still_says_how_it_ended(tmp_path: Path) -> None:
    """On a full disk its last words fail, and a crash would be taken for the job's fault."""
    with open("/dev/full", "wb") as full:
        order = [sys.executable, "-m", "graders.batch", str(tmp_path)]
        with subprocess.Popen(
            order, env=environment(), stdin=subprocess.PIPE, stdout=full, stderr=full
        ) as worker:
            assert worker.wait() == 2


# ---------------------------------------------------------------- devices


def test_a_timed_law_has_its_device_alone(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    members = [
        context.Process(target=_uses, args=(tmp_path, log, number % 3 == 0)) for number in range(9)
    ]
    for member in members:
        member.start()
    for member in members:
        member.join()
    inside: list[str] = []
    for line in log.read_text().split():
        how, _, what = line.partition(":")
        if what == "in":
            assert how != "alone" or not inside
            assert "alone" not in inside
            inside.append(how)
        else:
            inside.remove(how)
    assert not inside


def _uses(home: Path, log: Path, by_itself: bool) -> None:
    how = "alone" if by_itself else "shared"
    with (alone if by_itself else shared)("cpu", home):
        for what in ("in", "out"):
            with log.open("a") as file:
                file.write(f"{how}:{what}\n")
            time.sleep(0.01)  # long enough for the others to break in, if they could


def test_a_plan_survives_being_read_again(journal: Journal) -> None:
    plan = journal.plan()
    assert isinstance(plan, BatchPlan)
    assert plan.salt == 1
    assert [job.student for job in plan.jobs] == ["ada", "bob", "cyd"]


# ---------------------------------------------------------------- what others put there


def right_for_all(journal: Journal) -> dict[str, ExerciseResult]:
    """Full points, by key, as somebody would like to have them."""
    found = {}
    for job in journal.plan().jobs:
        missing = without_a_try(job, "", Outcome.FAIL, laws_only=True)
        laws = tuple(
            replace(law, outcome=Outcome.PASS, points=law.max_points) for law in missing.laws
        )
        found[job.key] = replace(missing, laws=laws, problem="")
    return found


@pytest.mark.parametrize("folder", ["results", "quarantine"])
def test_a_result_that_somebody_planted_is_not_believed(journal: Journal, folder: str) -> None:
    for key, result in right_for_all(journal).items():
        (journal.root / folder / f"{key}.json").write_bytes(pack(result))
    assert {words.state(row) for row in journal.rows(journal.plan())} == {"ungraded"}
    assert journal.pending(journal.plan())  # they are to be graded


def test_a_planted_result_does_not_stand_before_the_true_one(journal: Journal) -> None:
    job = journal.plan().jobs[0]
    (journal.root / "results" / f"{job.key}.json").write_bytes(
        pack(right_for_all(journal)[job.key])
    )
    journal.store(job, without_a_try(job, "wrong", Outcome.FAIL, laws_only=True))
    assert journal.rows(journal.plan())[0].result.points == 0


def test_a_result_of_one_part_is_none_of_another(journal: Journal) -> None:
    one, other = {job.key: job for job in journal.plan().jobs}.values()
    journal.store(one, right_for_all(journal)[one.key])
    data = (journal.root / "results" / f"{one.key}.json").read_bytes()
    (journal.root / "results" / f"{other.key}.json").write_bytes(data)
    states = {row.key: words.state(row) for row in journal.rows(journal.plan())}
    assert (states[one.key], states[other.key]) == ("pass", "ungraded")


def test_a_result_that_was_edited_is_not_believed(journal: Journal) -> None:
    job = journal.plan().jobs[0]
    journal.store(job, without_a_try(job, "wrong", Outcome.FAIL, laws_only=True))
    path = journal.root / "results" / f"{job.key}.json"
    path.write_text(path.read_text().replace('"fail"', '"pass"'))
    assert words.state(journal.rows(journal.plan())[0]) == "ungraded"


def test_planted_tries_put_nothing_in_quarantine(journal: Journal) -> None:
    job = journal.plan().jobs[0]
    for number in range(5):
        (journal.root / "attempts" / f"{job.key}.{number}").write_text("died")
    journal.failed(job, "Not graded: once")
    assert journal.attempts(job.key) == ("Not graded: once",)
    assert not journal.settled(job.key)


def test_planted_lines_of_the_journal_are_passed_over(journal: Journal) -> None:
    job = journal.plan().jobs[0]
    line = {"student": "mallory", "exercise": 3, "source": "", "key": job.key, "quarantined": False}
    storage.append(journal.root / "journal.jsonl", [line])
    assert journal.committed() == []


def test_a_plan_that_somebody_else_wrote_is_no_plan(journal: Journal) -> None:
    path = journal.root / "plan.json"
    path.write_text(path.read_text().replace('"salt": 1', '"salt": 2'))
    with pytest.raises(BadJournal, match="not written by you"):
        journal.plan()


@pytest.mark.parametrize("key", ["", "x" * 32, "link", "open"])
def test_a_key_that_is_not_ours_alone_is_replaced(tmp_path: Path, key: str) -> None:
    """Whoever knows the key could sign."""
    path = tmp_path / ".key"
    if key == "link":
        (tmp_path / "known").write_bytes(b"x" * 32)
        (tmp_path / "known").chmod(0o600)
        path.symlink_to(tmp_path / "known")
    else:
        path.write_text("x" * 32 if key == "open" else key)
        path.chmod(0o644)
    forged = hmac.digest(b"x" * 32, b"plan\0{}", "sha256").hex()
    assert Seal(tmp_path).opened({"mac": forged}, "plan") is None
    assert stat.S_IMODE(os.lstat(path).st_mode) == 0o600 and path.read_bytes() != b"x" * 32
    assert Seal(tmp_path).opened(Seal(tmp_path).signed({"a": 1}, "plan"), "plan") == {"a": 1}


def test_a_journal_is_readable_by_its_owner_alone(journal: Journal) -> None:
    assert stat.S_IMODE(journal.root.stat().st_mode) == 0o700


def test_salts_have_as_many_bits_as_a_key_and_seeds_are_not_told_by_one_another(
    tmp_path: Path,
) -> None:
    salts = {
        Journal(tmp_path / str(number)).open([], Options(grader="x")).salt for number in range(8)
    }
    assert max(salt.bit_length() for salt in salts) > 120 and len(salts) == 8
    assert Journal(tmp_path / "0").plan().salt in salts
    seeds = [seed_of(f"key{number}", 1 << 127) for number in range(64)]
    assert max(seed.bit_length() for seed in seeds) > 60 and len(set(seeds)) == 64
