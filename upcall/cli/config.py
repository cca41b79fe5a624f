"""`upcall config`: what a process of the platform would be told, setting by setting, and by what.

Nothing is started or touched. What is secret is shown as ***; what is wrong is shown beside its setting. Of each name
that an OpenWhisk deployment gives it says what becomes of it.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from upcall.catalogue import settings_of
from upcall.cli.role import options
from upcall.config import Finding, Settings, Survey, listed, survey
from upcall.errors import Misconfigured
from upcall.fates import Fate
from upcall.model.store_url import SqliteUrl, StoreUrl
from upcall.places import default_data
from upcall.setting import ROLES, Role
from upcall.store.choice import store_url

Row = dict[str, Any]
LONGEST = 120
"""Characters of a value in a table."""


@click.command("config", epilog="The options of that role are taken, too, as in: upcall config --role invoker --id 3")
@click.option("--role", type=click.Choice(ROLES), default="serve", show_default=True, help="Whose settings.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@options(*ROLES, hidden=True)
def command(role: Role, form: str, config: Path | None, **flags: str | None) -> None:
    """Show each setting's value and where it comes from: option, variable, OpenWhisk's key, file or default.

    Of what is given for OpenWhisk (CONFIG_whisk_…, INVOKER_OPTS, …): what becomes of it.
    Exit code 1 where a setting is wrong or missing.
    """
    _only_its_own(role, flags)
    found = survey(flags, os.environ, config, role)
    rows = [_row(finding, found.settings) for finding in found.findings]
    if form == "json":
        click.echo(json.dumps(_document(role, rows, found), indent=4, ensure_ascii=False))
    else:
        for line in (*_table(rows), *_fates(found.fates), *(f"note: {remark}" for remark in found.remarks)):
            click.echo(line)
    if found.faults:
        raise Misconfigured(listed(found.faults))


def _only_its_own(role: Role, flags: Mapping[str, str | None]) -> None:
    """Raises UsageError."""
    own = {setting.field for setting in settings_of(role)}
    for field, value in flags.items():
        if value is not None and field not in own:
            raise click.UsageError(f"'upcall {role}' has no option --{field.replace('_', '-')}.")


def _row(finding: Finding, settings: Settings | None) -> Row:
    setting, found = finding.setting, finding.found
    text = setting.show(found.text) or _chosen(setting.field, settings)
    row = {"name": setting.name, "value": text or None, "source": found.source if found.given else "default"}
    row["unset"] = setting.unset
    return {**row, "error": finding.error} if finding.error else row


def _chosen(field: str, settings: Settings | None) -> str:
    """What takes the place of a default that depends on others."""
    if settings is None:
        return ""
    data = settings.data or default_data()
    match field:
        case "id":
            return str(settings.invoker_id)
        case "data":
            return str(data)
        case "store":
            return _url(store_url(settings.store, data))
    return ""


def _url(url: StoreUrl) -> str:
    return f"sqlite:///{url.path}" if isinstance(url, SqliteUrl) else url.masked


def _document(role: Role, rows: list[Row], found: Survey) -> dict[str, Any]:
    settings = [{key: value for key, value in row.items() if key != "unset"} for row in rows]
    return {"role": role, "settings": settings, "faults": found.faults, "remarks": found.remarks} | {
        "openwhisk": [{"name": fate.name, "fate": fate.kind, "what": fate.what} for fate in found.fates]
    }


def _table(rows: list[Row]) -> Iterator[str]:
    """Long values push what follows to the right."""
    shown = [(row["name"], _short(row["value"]) or _meant(row), row["source"], row.get("error")) for row in rows]
    first = max(len(name) for name, *_ in shown)
    second = min(40, max(len(value) for _, value, *_ in shown))
    yield f"{'SETTING'.ljust(first)}  {'VALUE'.ljust(second)}  SOURCE"
    for name, value, source, error in shown:
        wrong = f"  WRONG: {error}" if error else ""
        yield f"{name.ljust(first)}  {value.ljust(second)}  {source}{wrong}"


def _fates(fates: list[Fate]) -> Iterator[str]:
    """What becomes of OpenWhisk's names, where any were given."""
    if not fates:
        return
    said = {
        "used": "used: ",
        "overruled": "overruled: ",
        "none": "no counterpart: ",
        "unknown": "not known; near to it is ",
    }
    width = max(len(fate.name) for fate in fates)
    yield ""
    yield f"{'GIVEN FOR OPENWHISK'.ljust(width)}  WHAT BECOMES OF IT"
    for name, kind, what in fates:
        yield f"{name.ljust(width)}  {f'{said[kind]}{what}' if what else 'not known'}"


def _short(value: str | None) -> str:
    """A manifest would fill the screen."""
    line = " ".join((value or "").split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _meant(row: Row) -> str:
    return f"({row['unset']})" if row["unset"] else "-"
