"""Names and label values that Kubernetes takes, made of ours (spec: kubernetes.md §6, container.md §5).

A pod's name is upstream's: `_` becomes `-`, parentheses go, lower case, at most 63 characters, no `-` at the end. Where
that would not be a name, or would cut the container's number off, which alone tells two of an Invoker apart, it is made
one: points become `-`, and a digest stands for what is too long before the number.
"""

import re
from hashlib import sha256

_LONGEST = 63
_DIGEST = 8
_POD = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NUMBERED = re.compile(r"(.*?_[0-9]+)(_.*|$)", re.DOTALL)
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_FOREIGN = re.compile(r"[^A-Za-z0-9_.]+")


def pod_name(container: str) -> str:
    """Of `wsk0_7_guest_hello`."""
    numbered = _NUMBERED.fullmatch(container)
    if numbered and len(numbered[1]) > _LONGEST:
        prefix, _, number = numbered[1].rpartition("_")
        kept = prefix[: _LONGEST - _DIGEST - len(number) - 2].rstrip("_-.")
        container = f"{kept}_{_digest(prefix)}_{number}"
    name = _cut(re.sub(r"[()]", "", container.replace("_", "-")).lower())
    return name if _POD.fullmatch(name) else _cut(re.sub(r"[^a-z0-9-]", "-", name).strip("-"))


def label_value(text: str) -> str:
    """The text itself where it may be a label's value, else one like it that is no other text's."""
    if _VALUE.fullmatch(text):
        return text
    like = _FOREIGN.sub("-", text)[: _LONGEST - _DIGEST - 1].strip("-_.")
    return f"{like}-{_digest(text)}" if like else _digest(text)


def _cut(name: str) -> str:
    return name[:_LONGEST].rstrip("-")


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
