"""Writes docs/reference/settings.md from the table in `upcall.catalogue`; `--check` fails where it is out of date."""

import sys
from pathlib import Path

from upcall.catalogue import SETTINGS
from upcall.setting import ROLES, Setting

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"


HEAD = """# Settings

Made from `upcall/catalogue.py` by `scripts/settings_reference.py`. A value comes from the flag, else the
variable, else OpenWhisk's own variable or key (`whisk.a-b.c` is the variable `CONFIG_whisk_aB_c`; its other sources,
and what becomes of names that are not here, are in [migration.md](../migration.md)), else the TOML key, else the
default. `upcall config --role ROLE` shows what each is, and by what.

A row is for `upcall serve`, `upcall invoker` and `upcall controller`, unless it names those that have it; what a role
does not have it does not look at, so that one file or environment can be for all.

| TOML key | of | meaning | default | variable | flag | OpenWhisk's |
|---|---|---|---|---|---|---|"""


def text() -> str:
    return "\n".join([HEAD, *map(row, SETTINGS)]) + "\n"


def row(setting: Setting) -> str:
    flag = ", ".join(f"`{option}`" for option in (setting.option, *setting.also)) if setting.flag else ""
    of = "" if setting.roles == ROLES else ", ".join(setting.roles)
    default = f"`{setting.default}`" if setting.default else ""
    upstream = ", ".join(f"`{key}`" for key in setting.upstream)
    return (
        f"| {' | '.join((f'`{setting.name}`', of, setting.help, default, f'`{setting.variable}`', flag, upstream))} |"
    )


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == text() else f"{PAGE} is out of date: run scripts/settings_reference.py")
    PAGE.write_text(text())
