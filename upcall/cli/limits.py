"""`upcall limits`: a namespace's own limits, as `wskadmin limits` (spec: cli-admin.md §1, entities.md §7)."""

from typing import Any

import click
from msgspec import UNSET, structs

from upcall.cli.accounts import Place, Told, on_data, told, work
from upcall.cli.subjects import checked_namespace
from upcall.errors import NotFound
from upcall.model.entities import Limits, UserLimits
from upcall.model.sizes import parse_size
from upcall.ports import Accounts

KINDS = "--allowedKinds"


class _Size(click.ParamType[str]):
    name = "size"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return value


class _Kinds(click.Command):
    """`--allowedKinds` takes all words up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        taken: int | None = None
        for word in [*args, "-"]:
            if taken is not None and not word.startswith("-"):
                spread += [KINDS, word]
                taken += 1
                continue
            if taken == 0:
                raise click.BadOptionUsage(KINDS, f"Option '{KINDS}' needs at least one kind.", ctx)
            taken = 0 if word == KINDS else None
            spread += [] if word == KINDS else [word]
        return super().parse_args(ctx, spread[:-1])


COUNT, SIZE = click.IntRange(min=0), _Size()
OPTIONS: tuple[tuple[str, Any, str], ...] = (
    ("invocationsPerMinute", COUNT, "invocations in a minute; 0 shuts the namespace out"),
    ("firesPerMinute", COUNT, "trigger fires in a minute"),
    ("concurrentInvocations", COUNT, "activations at a time; 0 shuts the namespace out"),
    ("allowedKinds", str, "kinds that actions may be made of, as in: nodejs:20 blackbox"),
    ("storeActivations", bool, "whether activations are recorded"),
    ("minActionMemory", COUNT, "least memory of an action, MB"),
    ("maxActionMemory", COUNT, "greatest memory of an action, MB"),
    ("minActionLogs", COUNT, "least log limit of an action, MB"),
    ("maxActionLogs", COUNT, "greatest log limit of an action, MB"),
    ("minActionTimeout", COUNT, "least time limit of an action, ms"),
    ("maxActionTimeout", COUNT, "greatest time limit of an action, ms"),
    ("minActionConcurrency", COUNT, "least concurrency of an action"),
    ("maxActionConcurrency", COUNT, "greatest concurrency of an action"),
    ("maxParameterSize", SIZE, "of parameters, as in: 1 MB"),
    ("maxPayloadSize", SIZE, "of an invoke's arguments and of results, as in: 1 MB"),
    ("truncationSize", SIZE, "what is quoted of a result that is too large, as in: 1 MB"),
)
_MEMBERS = dict(zip(UserLimits.__struct_encode_fields__, UserLimits.__struct_fields__, strict=True))
FIELDS = {name: _MEMBERS[name] for name, _, _ in OPTIONS} | _MEMBERS
"""Members of the document → fields of the struct, those that can be set first, in the order of their options."""


@click.group("limits")
def command() -> None:
    """Limits of single namespaces, which go before the system's.

    They work on the store of a data folder, or on that of --store; where 'upcall serve' runs on it, it knows of a
    change at once.
    """


def _options(function: Any) -> Any:
    for name, kind, help in reversed(OPTIONS):
        metavar = {COUNT: "N", SIZE: "SIZE", str: "KIND...", bool: "true|false"}[kind]
        function = click.option(
            f"--{name}", FIELDS[name], type=kind, multiple=kind is str, default=None, metavar=metavar, help=help
        )(function)
    return function


@command.command("set", cls=_Kinds)
@click.argument("namespace")
@_options
@on_data
def set_(namespace: str, place: Place, **options: Any) -> int:
    """Set the given limits of a namespace; others stay as they are."""
    given = {field: value for field, value in options.items() if value not in (None, ())}
    if not given:
        raise click.UsageError("name at least one limit to set", click.get_current_context())
    if isinstance(kinds := given.get("allowed_kinds"), tuple):
        given["allowed_kinds"] = list(kinds)

    def run() -> None:
        space = checked_namespace(namespace)
        work(place, "set limits", lambda accounts: _merge(accounts, space, given), make=True)
        click.echo(f'Limits successfully set for "{space}"')

    return told(run)


@command.command("get")
@click.argument("namespace")
@on_data
def get(namespace: str, place: Place) -> int:
    """Show a namespace's own limits: lines FIELD = VALUE."""

    def run() -> None:
        space = checked_namespace(namespace)
        found = work(place, "get limits", lambda accounts: _read(accounts, space))
        lines = [f"{name} = {value}" for name, field in FIELDS.items() if _is_set(value := getattr(found[0], field))]
        if not lines:
            raise Told("No limits found, default system limits apply", 0)
        click.echo("\n".join(lines))

    return told(run)


@command.command("delete")
@click.argument("namespace")
@on_data
def delete(namespace: str, place: Place) -> int:
    """Delete a namespace's own limits: the system's apply."""

    def run() -> None:
        space = checked_namespace(namespace)
        work(place, "delete limits", lambda accounts: _remove(accounts, space))
        click.echo("Limits deleted")

    return told(run)


def _is_set(value: object) -> bool:
    return value is not UNSET and value is not None


async def _read(accounts: Accounts, namespace: str) -> tuple[UserLimits, str | None]:
    """What is set, and the revision; nothing where there is no document."""
    try:
        stored = await accounts.get(Limits, f"{namespace}/limits")
    except NotFound:
        return UserLimits(), None
    assert isinstance(stored.doc, Limits)
    return stored.doc.limits, stored.rev


async def _merge(accounts: Accounts, namespace: str, given: dict[str, Any]) -> None:
    limits, rev = await _read(accounts, namespace)
    await accounts.put(Limits(namespace, structs.replace(limits, **given)), rev)


async def _remove(accounts: Accounts, namespace: str) -> None:
    stored = await accounts.get(Limits, f"{namespace}/limits")
    await accounts.delete(Limits, f"{namespace}/limits", stored.rev)
