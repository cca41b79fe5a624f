"""What the clients of a fleet call: the actions of `tests.system.chaos`, but for those that call the API themselves;
and one whose result has to be fetched from the store, as no message can hold it."""

import msgspec

from tests.system.chaos import actions


class Kind(actions.Kind, frozen=True):
    """`tells`: its outcome has its token."""

    tells: bool = True


_LARGE = "    return {'text': '\"' * 700_000}\n"
"""Cut to 1 MiB; the quotation marks are escaped once more, and that is over the topic's limit."""

KINDS = (
    *(
        Kind(**msgspec.structs.asdict(kind), tells=kind.status != "action developer error")
        for kind in actions.KINDS
        if kind.name != "nested"
    ),
    Kind("large", actions.PYTHON + _LARGE, status="application error", tells=False),
)
BY_NAME = {kind.name: kind for kind in KINDS}
