"""`upcall activation poll`: prints activations with their logs as they come.

A record is listed when its activation has ended, under the time of its start. So each look goes back as far as a long
activation may take, from the newest start seen, and what was printed is remembered. Times are the server's, unless
`--since-…` asks for older ones.
"""

import time
from collections.abc import Iterator

import click

from upcall.cli import output
from upcall.cli.client import Client, require
from upcall.cli.flags import Verb
from upcall.cli.session import connect, scope

PAUSE = 2.0
"""Seconds between two looks."""
LONGEST = 330_000
"""ms that an activation may take from its call to its record."""
PAGE = 200


class Watch:
    """What has been seen of a namespace's activations, or of one action's."""

    def __init__(self, client: Client, namespace: str, target: str | None, since: int | None) -> None:
        self._client = client
        self._namespace = namespace
        self._target = target
        self._seen: dict[str, int] = {}
        """Start by id, of what a look may find again."""
        if since is None:
            newest = self._page(0, 0, 1)
            since = newest[0]["start"] if newest else 0
            self._seen = {str(entry["activationId"]): since for entry in newest}
        self._since = since
        self._newest = since

    def look(self) -> Iterator[output.Document]:
        """Records that are new, the oldest first."""
        since = max(self._since, self._newest - LONGEST)
        self._seen = {id_: start for id_, start in self._seen.items() if start >= since}
        found = [entry for entry in self._listed(since) if entry["activationId"] not in self._seen]
        for entry in reversed(found):
            id_ = str(entry["activationId"])
            self._seen[id_] = entry["start"]
            self._newest = max(self._newest, entry["start"])
            answer = self._client.ask("GET", self._namespace, "activations", id_)
            yield require(answer, f"Unable to get activation '{id_}'")

    def _listed(self, since: int) -> list[output.Document]:
        listed: list[output.Document] = []
        while True:
            page = self._page(since, len(listed), PAGE)
            listed += page
            if len(page) < PAGE:
                return listed

    def _page(self, since: int, skip: int, limit: int) -> list[output.Document]:
        query: dict[str, str | int | bool] = {"since": since, "skip": skip, "limit": limit}
        if self._target:
            query["name"] = self._target
        answer = self._client.ask("GET", self._namespace, "activations", query=query)
        what = f"Unable to obtain the list of activations for namespace '{self._namespace}'"
        page: list[output.Document] = require(answer, what)
        return page


@click.command("poll", cls=Verb)
@click.argument("place", metavar="[/NAMESPACE | ACTION]", required=False)
@click.option("-e", "--exit", "seconds", type=click.FloatRange(min=0), metavar="SECONDS", help="Stop after this time.")
@click.option("--since-seconds", type=click.IntRange(min=0), default=0, metavar="N", help="Begin this long ago.")
@click.option("--since-minutes", type=click.IntRange(min=0), default=0, metavar="N", help="Begin this long ago.")
@click.option("--since-hours", type=click.IntRange(min=0), default=0, metavar="N", help="Begin this long ago.")
@click.option("--since-days", type=click.IntRange(min=0), default=0, metavar="N", help="Begin this long ago.")
@click.option("--json", "as_json", is_flag=True, help="Print records as JSON, one a line.")
@click.pass_context
def poll(
    context: click.Context,
    *,
    place: str | None,
    seconds: float | None,
    since_seconds: int,
    since_minutes: int,
    since_hours: int,
    since_days: int,
    as_json: bool,
) -> None:
    """Print activations with their logs as they come, until Ctrl-C.

    \b
    upcall activation poll
    upcall activation poll hello --since-minutes 5 --exit 60
    """
    client = connect(context)
    namespace, target = scope(client, place)
    back = since_seconds + 60 * since_minutes + 3600 * since_hours + 86400 * since_days
    since = int((time.time() - back) * 1000) if back else None
    watch = Watch(client, namespace, target, since)
    if not as_json:
        click.echo("Enter Ctrl-c to exit.\nPolling for activation logs")
    try:
        _follow(watch, seconds, as_json)
    except KeyboardInterrupt:
        context.exit(0)


def _follow(watch: Watch, seconds: float | None, as_json: bool) -> None:
    end = time.monotonic() + (float("inf") if seconds is None else seconds)
    while True:
        for record in watch.look():
            _show(record, as_json)
        if (left := end - time.monotonic()) <= 0:
            return
        time.sleep(min(PAUSE, left))


def _show(record: output.Document, as_json: bool) -> None:
    if as_json:
        output.line(record)
    else:
        click.echo(f"\nActivation: '{output.bold(record['name'])}' ({record['activationId']})")
        output.document(record["logs"])
