"""One setting: its name, how its text is read, its default and meaning, and where OpenWhisk has it."""

import msgspec

from upcall.model.forms import Parse


class Setting(msgspec.Struct, frozen=True):
    """One row. `default` is a text like any other value; `upstream` are variables, or keys that begin with `whisk.`.
    A key that ends with `.*` takes all below it, as a TOML table of the setting's name does: as a JSON object of
    texts."""

    name: str
    parse: Parse
    default: str
    help: str
    upstream: tuple[str, ...] = ()
    form: str = ""
    """What to write, in a word or two; `upcall serve` has those that say it as options."""

    @property
    def flag(self) -> bool:
        return bool(self.form)

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
