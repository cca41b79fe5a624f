"""One setting: its name, how its text is read, its default and meaning, whose it is, and where OpenWhisk has it."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

from upcall.model.forms import Parse

Role = Literal["serve", "invoker", "controller"]
ROLES: tuple[Role, ...] = ("serve", "invoker", "controller")
RUNS: tuple[Role, ...] = ("serve", "invoker")
"""Those that run actions."""
ANSWERS: tuple[Role, ...] = ("serve", "controller")
"""Those that answer the API."""
APART: tuple[Role, ...] = ("invoker", "controller")
"""Those that are one of several processes."""

Show = Callable[[str], str]


def as_it_is(text: str) -> str:
    return text


class Found(NamedTuple):
    """Where a value comes from, in words for people, and its text."""

    source: str
    text: str
    given: bool = True
    """False for a default."""


class Setting(msgspec.Struct, frozen=True):
    """One row. `default` is a text like any other value; `upstream` are variables, or keys that begin with `whisk.`.
    A key that ends with `.*` takes all below it, as a TOML table of the setting's name does: as a JSON object of
    texts. A name has several rows where roles differ in its default or in upstream's key."""

    name: str
    parse: Parse
    default: str
    help: str
    upstream: tuple[str, ...] = ()
    form: str = ""
    """What to write, in a word or two; the roles have those that say it as options."""
    roles: tuple[Role, ...] = ROLES
    also: tuple[str, ...] = ()
    """Other spellings of the option."""
    bare: bool = False
    """Whether the option takes no value and means `on`."""
    many: bool = False
    """Whether it is a list whose texts may have commas, or a table of such lists: a list that a file or numbered
    variables have is handed on as a JSON array."""
    show: Show = as_it_is
    """Its text, right or wrong, without what is secret."""

    @property
    def flag(self) -> bool:
        return bool(self.form) or self.bare

    @property
    def unset(self) -> str:
        """In words what an empty default means; empty where it means nothing."""
        return self.help.partition("  [default: ")[2].removesuffix("]")

    @property
    def open(self) -> bool:
        """Whether it is a table whose names are not ours."""
        return any(key.endswith(".*") for key in self.upstream)

    @property
    def option(self) -> str:
        return f"--{self.name.replace('.', '-')}"

    @property
    def field(self) -> str:
        return self.name.replace("-", "_").replace(".", "_")

    @property
    def variable(self) -> str:
        return f"UPCALL_{self.field.upper()}"
