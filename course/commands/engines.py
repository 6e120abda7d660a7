"""`course engines`: which engines can be raced here, and how to get one."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from course.errors import ExitCode, Problem
from course.sigterm import interruptible
from course.terminal import clean, console
from graders.engines import environments
from graders.engines.catalogue import CPU, CUDA, KINDS, EngineKind, device_class, unknown
from graders.engines.environments import EnvironmentStatus, State

DEVICES = click.Choice([CPU, CUDA])
INK = {State.READY: "green", State.ABSENT: "dim", State.IMPOSSIBLE: "dim"}


@click.group("engines", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> ExitCode | None:
    """The engines beside ours: what is installed and works, how to get the others.

    \b
    course engines                  which engines there are, and the state of each
    course engines install vllm     make the environment of one from its lock (needs a network), then try it
    course engines try vllm         start it, let it serve a few requests, check every token
    course engines lock vllm        resolve its packages anew and write the lock (needs uv; for developers)
    """
    return context.invoke(show) if context.invoked_subcommand is None else None


@command.command("list")
def show() -> ExitCode:
    """Every engine, its version, whether its trial went well, and what is missing."""
    device = device_class()
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    for title in ("engine", "version", "state", "trial", "what to do"):
        table.add_column(title, overflow="fold")
    for kind in KINDS.values():
        table.add_row(*_row(environments.standing(kind, device)))
    screen = console()
    screen.print(table)
    screen.print(
        f"\nThis machine counts as {device}. Environments: {environments.root()}",
        style="dim",
        soft_wrap=True,
    )
    return ExitCode.PASS


@command.command("install")
@click.argument("name")
@click.option("--device", type=DEVICES, help="Which build; the machine decides when not given.")
@click.option("--fresh", is_flag=True, help="Replace what is there, once the new one works.")
@click.option(
    "--unlocked", is_flag=True, help="Without a lock, where there is none for this platform."
)
def install(name: str, device: str | None, fresh: bool, unlocked: bool) -> ExitCode:
    """Make the environment of engine NAME and try it. Needs a network, minutes, and up to some
    gigabytes."""
    from graders.engines.installing import NotInstalled
    from graders.engines.installing import install as make

    kind, screen = _kind(name), console()
    if not kind.distribution:
        raise Problem(f"{name} is part of the course; there is nothing to install.")
    now = environments.standing(kind, device)
    if now.ready and not fresh:
        screen.print(_there_already(now), soft_wrap=True)
        return ExitCode.PASS
    trials = _Trials()
    try:
        with interruptible():
            version = make(
                kind,
                now.device,
                say=lambda line: screen.print(f"{clean(line)} …", soft_wrap=True),
                prove=trials.prove,
                unlocked=unlocked,
            )
    except NotInstalled as error:
        left = environments.standing(kind, device)
        kept = f" {name} {left.version} is still there as it was." if left.ready else ""
        raise Problem(f"{clean(str(error))}.{kept}", ExitCode.UNGRADED) from error
    screen.print(
        Text(clean(trials.sentence or f"{name} {version} is installed."), style="green"),
        soft_wrap=True,
    )
    return ExitCode.PASS


class _Trials:
    """The trial that an installation asks for. sentence: how it went."""

    sentence = ""

    def prove(self, kind: EngineKind) -> str:
        """Why the engine does not work, in a clause; "" when it does."""
        from graders.engines.smoke_test import trial

        result = trial(kind)
        self.sentence = result.sentence
        return result.why


@command.command("try")
@click.argument("name")
def attempt(name: str) -> ExitCode:
    """Start engine NAME, let it serve a few requests on the waiter, and check every token against
    the oracle."""
    kind = _kind(name)
    now = environments.standing(kind)
    if not now.state.startable:
        raise Problem(f"{name}: {now.state}. {clean(now.advice)}.", ExitCode.UNGRADED)
    return _try(kind)


@command.command("lock")
@click.argument("name")
@click.option("--device", type=DEVICES, help="Which build; the machine decides when not given.")
@click.option("--platform", "machine", help="Of which machines; of this one when not given.")
@click.option(
    "--check", is_flag=True, help="Write nothing; say whether the index still has what is locked."
)
def lock_(name: str, device: str | None, machine: str | None, check: bool) -> ExitCode:
    """Resolve the packages of engine NAME anew and write every version and hash into its lock."""
    from graders.engines import lock_file, make_lock

    kind, screen = _kind(name), console()
    order = make_lock.Order(kind, device or device_class(), machine or lock_file.here())
    there = lock_file.path(kind, order.device, machine=order.machine).is_file()
    try:
        old = lock_file.read(kind, order.device, order.machine) if check or there else None
        made = make_lock.make(
            order, say=lambda line: screen.print(f"{line} …"), keep=old if check else None
        )
    except (make_lock.NotLocked, lock_file.LockBroken) as error:
        raise Problem(f"{clean(str(error))}.", ExitCode.UNGRADED) from error
    changes = make_lock.differences(old, made) if old else []
    for change in changes:
        screen.print(clean(change), soft_wrap=True)
    if check:
        told = (
            f"the index has other files: renew it with `course engines lock {name}`"
            if changes
            else "it holds"
        )
        screen.print(f"The lock of {name}, {len(made.pins)} packages: {told}.", soft_wrap=True)
        return ExitCode.UNGRADED if changes else ExitCode.PASS
    written = ", ".join(file.name for file in make_lock.write(order, made))
    then = f"Try it: course engines install {name} --fresh"
    screen.print(
        f"{written}: {len(made.pins)} packages, {len(changes)} changed. {then}", soft_wrap=True
    )
    return ExitCode.PASS


def _try(kind: EngineKind) -> ExitCode:
    from graders.engines.smoke_test import trial

    result = trial(kind)
    console().print(
        Text(clean(result.sentence), style="green" if result.fine else "bold red"), soft_wrap=True
    )
    return ExitCode.PASS if result.fine else ExitCode.UNGRADED


def _there_already(now: EnvironmentStatus) -> str:
    """What is installed; Problem when it is the build for another device."""
    name = f"{now.kind.name} {now.version}"
    built = environments.read_stamp(environments.folder(now.kind)).get("device", now.device)
    if built != now.device:
        raise Problem(
            f"{name} is installed for {built}, not for {now.device}; --fresh replaces it."
        )
    return f"{name} is installed already (--fresh installs it again)."


def _kind(name: str) -> EngineKind:
    if name not in KINDS:
        raise Problem(f"{unknown(name)}.")
    return KINDS[name]


def _row(status: EnvironmentStatus) -> tuple[Text, ...]:
    loose = (
        ", without a lock"
        if status.ready and status.kind.distribution and not status.locked
        else ""
    )
    state = f"{status.state}{loose}"
    texts = (status.kind.name, status.version, state, status.trial, status.advice)
    inks = ("bold", "", INK.get(status.state, "bold red"), "", "")
    return tuple(Text(clean(text), style=ink) for text, ink in zip(texts, inks, strict=True))
