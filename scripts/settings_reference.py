"""Writes docs/reference/settings.md from the table in `upcall.config`; `--check` fails where it is out of date."""

import sys
from pathlib import Path

from upcall.config import SETTINGS

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"


def text() -> str:
    lines = [
        "# Settings",
        "",
        "Made from `upcall/config.py` by `scripts/settings_reference.py`. A value comes from the flag, else the",
        "variable, else OpenWhisk's own variable or key (`whisk.a-b.c` is the variable `CONFIG_whisk_aB_c`), else the",
        "TOML key, else the default.",
        "",
        "| TOML key | meaning | default | variable | flag | OpenWhisk's |",
        "|---|---|---|---|---|---|",
    ]
    for setting in SETTINGS:
        flag = f"`{setting.option}`" if setting.flag else ""
        default = f"`{setting.default}`" if setting.default else ""
        upstream = ", ".join(f"`{key}`" for key in setting.upstream)
        row = (f"`{setting.name}`", setting.help, default, f"`{setting.variable}`", flag, upstream)
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == text() else f"{PAGE} is out of date: run scripts/settings_reference.py")
    PAGE.write_text(text())
