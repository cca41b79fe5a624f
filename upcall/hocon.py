"""HOCON, as far as OpenWhisk's deployments write it (spec: invoker.md §2.1): objects, lists, `=`, `:` and `+=`, dotted
and quoted keys, texts with and without quotes, comments, `${key}` and `${?NAME}` of the text itself or of the
environment. `include` is passed over: what is included is OpenWhisk's own. What is `null` is as if it were not said.

All values are texts, by their whole names: `a { b = [1, 2] }` is `a.b.0: 1`, `a.b.1: 2`. What comes later wins; objects
are joined. A substitution sees what stands before it.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

DEEPEST = 64
"""Levels of brackets."""
_TOKEN = re.compile(
    r"""(?P<blank>[^\S\n]+) | (?P<comment>(?:\#|(?<!:)//)[^\n]*) | (?P<end>[\n,]) | (?P<mark>\+=|[{}\[\]=:])
      | (?P<long>\"\"\".*?\"\"\"+) | (?P<text>"(?:[^"\\\n]|\\.)*") | (?P<given>\$\{\??[^}\n]*\})
      | (?P<bare>(?:(?!(?<!:)//)[^\s,{}\[\]=:"\#$+]|\+(?!=))+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def parse(text: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Raises ValueError with the line; it quotes no value, which may be secret."""
    reader = _Reader(_tokens(text.removeprefix("\ufeff")), environment)
    reader.document()
    return reader.found


def _tokens(text: str) -> list[_Token]:
    found, at, line = [], 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            what = "a text in quotes has no end" if text[at] == '"' else f"'{text[at]}' is not understood here"
            raise ValueError(f"line {line}: {what}")
        kind = match.lastgroup or ""
        if kind != "comment":
            found.append(_Token(kind, match[0], line))
        line += match[0].count("\n")
        at = match.end()
    return [*found, _Token("over", "", line)]


class _Reader:
    """One pass over the tokens; `found` is what has been said so far."""

    def __init__(self, tokens: list[_Token], environment: Mapping[str, str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._environment = environment
        self._above: set[str] = set()  # names that have had others below them
        self.found: dict[str, str] = {}

    def document(self) -> None:
        """With or without brackets around it."""
        self._pass(ends=True)
        if self._is("{"):
            self._object("", 1)
            self._pass(ends=True)
        else:
            self._fields("", 0)
        if self._next.kind != "over":
            self._wrong(f"'{self._next.text}' closes nothing")

    def _object(self, prefix: str, depth: int) -> None:
        opened = self._take()
        if depth > DEEPEST:
            raise ValueError(f"line {opened.line}: more than {DEEPEST} brackets stand in each other")
        self._fields(prefix, depth)
        if not self._is("}"):
            raise ValueError(f"line {opened.line}: '{{' is not closed")
        self._take()

    def _fields(self, prefix: str, depth: int) -> None:
        self._pass(ends=True)
        while self._next.kind != "over" and not self._is("}", "]"):
            if self._next.text == "include":
                self._skip_include()
            else:
                self._field(prefix, depth)
            self._pass(ends=True)

    def _field(self, prefix: str, depth: int) -> None:
        name = prefix + self._key()
        if self._is("{"):
            self._assign(name, depth)
        elif self._is("=", ":"):
            self._take()
            self._pass(ends=False, lines=True)
            self._assign(name, depth)
        elif self._is("+="):
            self._take()
            self._pass(ends=False, lines=True)
            elements = [int(rest) for key in self.found if (rest := _element(key, name)).isdecimal() and len(rest) < 10]
            self._assign(f"{name}.{max(elements, default=-1) + 1}", depth)
        else:
            self._wrong("after a key comes =, : or {")
        self._pass(ends=False)
        if self._next.kind not in ("end", "over") and not self._is("}", "]"):
            self._wrong(f"the value of '{name}' ends with its line, or with a comma")

    def _key(self) -> str:
        parts = ""
        while self._next.kind in ("bare", "text", "blank"):
            token = self._take()
            parts += _unquoted(token) if token.kind == "text" else token.text
        if not parts.strip():
            self._wrong(
                "a key is missing" if self._next.kind != "mark" else f"'{self._next.text}' has no key before it"
            )
        return parts.strip()

    def _assign(self, name: str, depth: int) -> None:
        if self._is("{"):
            self.found.pop(name, None)
            self._object(f"{name}.", depth + 1)
        elif self._is("["):
            self._forget(name)
            self._list(name, depth + 1)
        else:
            null = self._next == ("bare", "null", self._next.line)
            value = self._text()
            if value is not None:
                self._forget(name)
                if not null or value != "null":
                    self._put(name, value)

    def _list(self, name: str, depth: int) -> None:
        opened = self._take()
        if depth > DEEPEST:
            raise ValueError(f"line {opened.line}: more than {DEEPEST} brackets stand in each other")
        number = 0
        self._pass(ends=True)
        while not self._is("]"):
            if self._next.kind == "over" or self._is("}"):
                raise ValueError(f"line {opened.line}: '[' is not closed")
            self._assign(f"{name}.{number}", depth)
            number += 1
            self._pass(ends=False)
            if self._next.kind not in ("end", "over") and not self._is("]"):
                self._wrong(f"after an element of '{name}' comes a comma or ]")
            self._pass(ends=True)
        self._take()

    def _text(self) -> str | None:
        """Up to the end of the value; None where all that it has is an optional substitution of nothing."""
        first, parts = self._next, []
        while self._next.kind in ("bare", "text", "long", "given", "blank") or self._is("=", ":"):
            token = self._take()
            parts.append(self._given(token) if token.kind == "given" else _plain(token))
        if not parts:
            raise ValueError(f"line {first.line}: a value is missing")
        known = [part for part in parts if part is not None]
        return "".join(known).strip() if any(part.strip() for part in known) or len(known) == len(parts) else None

    def _given(self, token: _Token) -> str | None:
        name = token.text[2:-1].strip()
        wanted = name.removeprefix("?").strip()
        value = self.found.get(wanted, self._environment.get(wanted))
        if value is None and not name.startswith("?"):
            raise ValueError(f"line {token.line}: {token.text} names neither a key above it nor a variable")
        return value

    def _put(self, name: str, value: str) -> None:
        self.found[name] = value
        while (name := name.rpartition(".")[0]) and name not in self._above:
            self._above.add(name)

    def _forget(self, name: str) -> None:
        self.found.pop(name, None)
        if name in self._above:
            for key in [key for key in self.found if key.startswith(f"{name}.")]:
                del self.found[key]

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _is(self, *marks: str) -> bool:
        return self._next.kind == "mark" and self._next.text in marks

    def _take(self) -> _Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _pass(self, ends: bool, lines: bool = False) -> None:
        """Over blanks, and the ends of lines and elements."""
        while self._next.kind == "blank" or (ends and self._next.kind == "end") or (lines and self._next.text == "\n"):
            self._at += 1

    def _skip_include(self) -> None:
        while self._next.kind not in ("end", "over") and not self._is("}"):
            self._at += 1

    def _wrong(self, what: str) -> NoReturn:
        raise ValueError(f"line {self._next.line}: {what}")


def _element(key: str, name: str) -> str:
    return key.removeprefix(f"{name}.") if key.startswith(f"{name}.") else ""


def _plain(token: _Token) -> str:
    if token.kind == "long":
        return token.text[3:-3]
    return _unquoted(token) if token.kind == "text" else token.text


def _unquoted(token: _Token) -> str:
    """Signs beyond 16 bits are written as two; half of one alone is none."""
    text = _ESCAPE.sub(_escaped, token.text[1:-1])
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _escaped(match: re.Match[str]) -> str:
    sign = match[1]
    return chr(int(sign[1:], 16)) if len(sign) > 1 else _ESCAPES.get(sign, sign)
