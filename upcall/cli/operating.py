"""What the operator's verbs that ask a running platform share: `status`, `top`, `log-level`.

They find the server as other verbs do: a whole platform, an Invoker or a controller. They show it the operator's
credentials: those of --auth, else of UPCALL_OPERATOR, else of the data folder, which only the user who runs the process
can read; of several processes there the one counts that has the address.
"""

from typing import Any

import click

from upcall.cli.client import Answer, Client, address, reason
from upcall.cli.flags import given
from upcall.cli.properties import Properties, Value
from upcall.cli.refusal import GENERAL, NETWORK, USAGE, Refused
from upcall.cli.session import connect_as, properties

STOPPING = 503


def connect(context: click.Context) -> Client:
    """Raises Refused where no server or no key is known."""
    found = properties(context)
    operator = _given(context) or found.values.get("operator")
    if operator is None:
        raise Refused(
            f"no operator's key for {address(found)} is known: run this as the user of the process on its machine "
            "(UPCALL_DATA names another data folder), set UPCALL_OPERATOR=USER:PASSWORD, or give --auth USER:PASSWORD",
            USAGE,
        )
    return connect_as(context, Properties({**found.values, "auth": operator}, found.files))


def _given(context: click.Context) -> Value | None:
    """Of the command line."""
    auth = given(context).get("auth")
    return Value(str(auth), "--auth") if auth else None


def ask(client: Client, method: str, path: str, body: Any = None) -> Answer:
    """Raises Refused with exit code 1: not reachable, stopping, the key is another platform's."""
    try:
        answer = client.operate(method, path, body)
    except Refused as error:
        raise Refused(str(error), GENERAL if error.code == NETWORK else error.code) from None
    if answer.status == STOPPING:
        raise Refused(f"{client.address} is stopping: {reason(answer)}")
    if answer.status == 401:
        raise Refused(f"{client.address} does not take the operator's key: is UPCALL_OPERATOR or UPCALL_DATA right?")
    if answer.status == 404 and path == "/status":
        raise Refused(f"{client.address} has no operator's routes: is it an upcall?")
    if answer.status >= 400 or answer.document is None:
        raise Refused(f"{client.address}: {reason(answer)}")
    return answer
