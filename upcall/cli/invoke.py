"""`upcall action invoke`: an id at once, or the record or result of a call that is waited for.

What the action itself did wrong is printed like a result, on stderr, with the exit code of its status: 246 for an
error of its own.
"""

from typing import Any

import click

from upcall.cli import output, parameters
from upcall.cli.client import ACTIVATION_HEADER, Answer, reason
from upcall.cli.flags import Verb
from upcall.cli.refusal import ACCEPTED, Refused, exit_code
from upcall.cli.session import Name, connect, name


@click.command("invoke", cls=Verb)
@click.argument("name_", metavar="NAME")
@click.option("-b", "--blocking", is_flag=True, help="Wait for its end.")
@click.option("-r", "--result", is_flag=True, help="Wait, and print the result alone.")
@parameters.options("p", "param", "Argument")
@output.as_json
@click.pass_context
def invoke(
    context: click.Context,
    *,
    name_: str,
    blocking: bool,
    result: bool,
    param: parameters.Pairs,
    param_file: tuple[str, ...],
    as_json: bool,
) -> None:
    """Call an action.

    \b
    upcall action invoke hello -p name Ada
    upcall action invoke hello -r -p name Ada
    upcall action invoke hello -b -P arguments.json
    """
    client = connect(context)
    target = name(client, name_)
    waits = blocking or result
    answer = client.ask(
        "POST",
        target.namespace,
        "actions",
        *target.segments,
        query={"blocking": waits, "result": result},
        body=parameters.merged(param, param_file),
        name="arguments",
    )
    failed = answer.status >= 400
    if answer.document is None or answer.refusal is not None or (failed and answer.status < 500):
        raise Refused(f"Unable to invoke action '{target.text}': {reason(answer)}", exit_code(answer.status))
    _show(answer, target, waits=waits, bare=result, as_json=as_json)
    if waits and (failed or answer.status == ACCEPTED):
        context.exit(ACCEPTED if answer.status == ACCEPTED else exit_code(answer.status))


def _show(answer: Answer, target: Name, *, waits: bool, bare: bool, as_json: bool) -> None:
    failed = answer.status >= 400
    if as_json:
        output.document(answer.document)
    elif answer.status == ACCEPTED:
        late = ", but the request has not yet finished," if waits else ""
        output.ok(f"invoked {output.bold(str(target))}{late} with id {output.bold(_id(answer))}")
    else:
        if not bare:
            output.ok(f"invoked {output.bold(str(target))} with id {output.bold(_id(answer))}", err=failed)
        output.document(answer.document, err=failed)


def _id(answer: Answer) -> str:
    """A bare result does not hold it, but the header does."""
    body: Any = answer.document
    found = body.get("activationId") if isinstance(body, dict) else None
    return str(found or answer.headers.get(ACTIVATION_HEADER, "?"))
