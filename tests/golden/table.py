"""Cases of the golden table (`tests/golden`): what is given, and what is expected with names in the place of what
differs from run to run (`$id`, `$start` …)."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

Json = Any
FOLDER = Path(__file__).parent
CALLERS = ("blocking", "non-blocking", "caused")
BASE: dict[str, Any] = json.loads((FOLDER / "base.json").read_text())
_IN_STORE = ("_id", "entityType", "updated")


class Case(NamedTuple):
    """One row, for one of `CALLERS`."""

    name: str
    row: dict[str, Any]
    caller: str

    @property
    def action(self) -> Json:
        return merged(BASE["action"], self.row.get("action", {}))

    @property
    def message(self) -> dict[str, Any]:
        """Without its id and the action's revision."""
        message: dict[str, Any] = merged(BASE["message"], self.row.get("message", {}))
        message["blocking"] = self.caller != "non-blocking"
        return message | ({"cause": BASE["caused"]["cause"]} if self.caller == "caused" else {})

    @property
    def record(self) -> dict[str, Any]:
        """As the store has it; annotations as an object."""
        row = self.row
        notes = deepcopy(BASE["annotations"][row.get("annotations", "cold")]) | row.get("notes", {})
        record = {**BASE["record"], "response": unfolded(row["response"]), **row.get("record", {})}
        if self.caller == "caused":
            notes["causedBy"] = BASE["caused"]["causedBy"]
            record["cause"] = BASE["caused"]["cause"]
        return without_spec({**record, "annotations": notes})

    @property
    def acks(self) -> list[dict[str, Any]]:
        """In their order."""
        which = BASE["which"][self.row.get("acks", "ran")]
        told = {name: value for name, value in self.record.items() if name not in _IN_STORE} | {"logs": []}
        names = {
            "$record": told,
            "$instance": without_spec(BASE["instance"]),
            "$system": self.row.get("system-error", False),
            "$transid": self.message["transid"],
        }
        kind = "non-blocking" if self.caller == "non-blocking" else "blocking"
        return [{k: names.get(v, v) for k, v in BASE["acks"][name].items()} for name in which[kind]]


def cases() -> Iterator[Case]:
    for file in sorted((FOLDER / "cases").glob("*.json")):
        for row in json.loads(file.read_text()):
            assert row["spec"]
            yield from (Case(f"{file.stem}-{row['name']}-{caller}", row, caller) for caller in CALLERS)


def merged(base: Json, changes: Json) -> Json:
    """Objects member by member, null takes one away; an action's `exec` and `limits` are replaced as a whole."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    whole = {k: changes[k] if k in ("exec", "limits") else merged(base.get(k), v) for k, v in changes.items()}
    found = {**base, **whole}
    return {name: value for name, value in without_spec(found).items() if value is not None}


def unfolded(value: Json) -> Json:
    """`{of, times}` is a long text in short."""
    if isinstance(value, dict) and {"of", "times"} <= set(value):
        return f"{value.get('before', '')}{value['of'] * value['times']}{value.get('after', '')}"
    if isinstance(value, dict):
        return {name: unfolded(each) for name, each in value.items()}
    return value


def exactly(value: Json) -> str:
    """Tells 0 from false, which `==` does not."""
    return json.dumps(value, sort_keys=True)


def without_spec(value: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in value.items() if name != "spec"}
