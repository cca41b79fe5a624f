"""Fails where a Python file has over 400 lines or a function over 40 (docstring not counted)."""

import ast
import subprocess
import sys
from pathlib import Path

FILE, FUNCTION = 400, 40
Function = ast.FunctionDef | ast.AsyncFunctionDef


def length(node: Function) -> int:
    documented = ast.get_docstring(node) is not None and len(node.body) > 1
    first = node.body[1].lineno if documented else node.lineno
    return (node.end_lineno or first) - first + 1


def complaints(path: Path) -> list[str]:
    text = path.read_text()
    lines = text.count("\n")
    found = [f"{path}: {lines} lines, {FILE} are allowed"] if lines > FILE else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function) and (size := length(node)) > FUNCTION:
            found.append(f"{path}:{node.lineno}: {node.name} has {size} lines, {FUNCTION} are allowed")
    return found


def main() -> int:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.py"], capture_output=True, check=True)
    paths = [path for path in map(Path, listed.stdout.decode().split()) if path.exists()]
    found = [line for path in paths for line in complaints(path)]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
