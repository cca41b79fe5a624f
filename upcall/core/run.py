"""What goes into an action's container: the bodies of /init and /run (spec: container.md §2).

A warm run must cost next to nothing, so all that an action says once is encoded once: a `Recipe` belongs to one action
document, and a `Context` in it to one invoking namespace and version. A body of /run is then the arguments as they
came, the context's bytes, and four values that differ each time, joined. The arguments are never decoded unless some
of them go to /init (`initArgs`), where values become environment and therefore text.

Upstream's oddities that stay: `deadline` is text, there is no `api_host` (it is in the container's environment), and
every member besides `value` must be text because the node.js runtime drops anything else.
"""

from hashlib import blake2b

import msgspec
from msgspec import UNSET, Raw, structs

from upcall.model.entities import BLACKBOX, Action
from upcall.model.messages import ActivationMessage
from upcall.model.names import Json
from upcall.model.sizes import MB

_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, Raw]).decode

_FALSY = (False, 0, "", None)
"""And nothing else: an empty list or object is truthy (spec: store.md §3)."""

LARGE = 256 * 1024
"""Characters of code from which on `recipe_of` is no work for the event loop: 2 ms for each MB."""

CONTEXTS = 128
"""Contexts that a recipe keeps, some 500 bytes each; an action has one for each namespace that calls it."""


class Context(msgspec.Struct, frozen=True, eq=False):
    """What all activations of one action have in common that one namespace makes at one version."""

    key: str
    """The pool's `ActionKey`."""
    entries: dict[str, str]
    """The part of container.md §2.3 that does not change."""
    run: bytes
    """The same, encoded for /run, up to the activation's id."""


class Recipe(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """All that is known of an action before anybody calls it. Its code is not here: recipes are kept by thousands."""

    name: str
    version: str
    kind: str
    digest: str
    """Equal for documents that differ in nothing but their revision."""
    timeout: int
    """ms"""
    memory: int
    """MB"""
    concurrency: int
    log_limit: int
    """bytes"""
    provides_key: bool
    annotations: bytes
    """The record's annotations up to the value of `timeout` (spec: store.md §6.1)."""
    contexts: dict[tuple[str, str | None], Context] = msgspec.field(default_factory=dict)


def recipe_of(action: Action, kind: str | None = None) -> Recipe:
    """`kind` is the manifest's name of the action's kind, where it differs (`python:default`). Reads all the code
    (`LARGE`)."""
    limits = action.limits
    kind = kind or action.exec.kind
    path = f"{action.namespace}/{action.name}"
    known = [
        {"key": "limits", "value": limits},
        {"key": "path", "value": path},
        {"key": "kind", "value": kind},
    ]
    return Recipe(
        name=action.name,
        version=action.version,
        kind=kind,
        digest=_digest(action),
        timeout=limits.timeout,
        memory=limits.memory,
        concurrency=limits.concurrency,
        log_limit=limits.logs * MB,
        provides_key=action.annotation("provide-api-key", True) not in _FALSY,
        annotations=_encode(known)[:-1] + b',{"key":"timeout","value":',
    )


def is_large(action: Action) -> bool:
    code = action.exec.code
    return isinstance(code, str) and len(code) > LARGE


def context_of(recipe: Recipe, message: ActivationMessage) -> Context:
    """The context of a message, from the recipe's own where it was met before."""
    name = message.user.namespace.name
    key = (name, message.action.version)
    context = recipe.contexts.get(key)
    if context is None:
        if len(recipe.contexts) >= CONTEXTS:
            recipe.contexts.clear()
        context = recipe.contexts[key] = _context(recipe, name, message)
    return context


def run_body(recipe: Recipe, context: Context, message: ActivationMessage, deadline: int) -> bytes:
    """The body of /run; `deadline` is in epoch ms."""
    content: Raw | bytes | msgspec.UnsetType = message.content
    if not isinstance(content, Raw):
        content = b"{}"
    elif message.init_args:
        content = _arguments(content, message.init_args)
    parts = (
        b'{"value":',
        content,
        context.run,
        _encode(message.activation_id),
        b',"transaction_id":',
        _encode(transaction_id(message)),
        b',"deadline":"%d"}' % deadline if not recipe.provides_key else _tail(message, deadline),
    )
    return b"".join(parts)


def init_body(recipe: Recipe, context: Context, message: ActivationMessage, deadline: int, action: Action) -> bytes:
    """The body of /init; `deadline` is in epoch ms. A blackbox without code has no member `code`."""
    exec_ = action.exec
    env = {name: env_text(value) for name, value in _init_arguments(message).items()}
    entries = {
        **context.entries,
        "activation_id": message.activation_id,
        "transaction_id": transaction_id(message),
        "deadline": str(deadline),
    }
    if recipe.provides_key:
        entries |= {name: env_text(Raw(_encode(value))) for name, value in message.user.authkey.items()}
    env |= {f"__OW_{name.upper()}": value for name, value in entries.items()}
    value: dict[str, Json] = {
        "name": recipe.name,
        "main": exec_.main if isinstance(exec_.main, str) and exec_.main else "main",
        "binary": exec_.binary is True,
        "env": env,
    }
    if isinstance(exec_.code, str) and (exec_.kind != BLACKBOX or exec_.code.strip()):
        value["code"] = exec_.code
    return _encode({"value": value})


def transaction_id(message: ActivationMessage) -> str:
    """The id part alone; an unreadable one counts as unknown (spec: bus.md §6.1)."""
    transid = message.transid
    return transid[0] if transid and type(transid[0]) is str else "sid_unknown"


def env_text(value: Raw) -> str:
    """A JSON value as environment has it: text is itself, null is empty, all else is its compact JSON."""
    text = bytes(value).strip()
    if text == b"null":
        return ""
    if text.startswith(b'"'):
        return str(msgspec.json.decode(text))
    return msgspec.json.format(text, indent=-1).decode()


def _digest(action: Action) -> str:
    """The code goes in piece by piece: between two a thread leaves the interpreter to others, which it would not do
    within an encoding of the whole."""
    exec_ = action.exec
    code = exec_.code
    if not isinstance(code, str):
        return blake2b(_encode(action), digest_size=16).hexdigest()
    rest = structs.replace(action, exec=structs.replace(exec_, code=UNSET))
    digest = blake2b(_encode(rest) + b"\0", digest_size=16)  # JSON has no such byte
    for start in range(0, len(code), LARGE):
        digest.update(code[start : start + LARGE].encode())
    return digest.hexdigest()


def _context(recipe: Recipe, namespace: str, message: ActivationMessage) -> Context:
    entries = {
        "namespace": namespace,
        "action_name": f"/{message.action.path}/{message.action.name}",
        "action_version": message.action.version or recipe.version,
    }
    run = b"," + _encode(entries)[1:-1] + b',"activation_id":'
    return Context(f"{namespace} {recipe.digest}", entries, run)


def _tail(message: ActivationMessage, deadline: int) -> bytes:
    key = _encode(message.user.authkey)[1:]
    return b',"deadline":"%d"%b%b' % (deadline, b"," if len(key) > 1 else b"", key)


def _arguments(content: Raw, init_args: list[str]) -> bytes | Raw:
    """The content without what goes to /init; an array is passed whole."""
    if not bytes(content).lstrip().startswith(b"{"):
        return content
    kept = _members(content)
    for name in init_args:
        kept.pop(name, None)
    return _encode(kept)


def _init_arguments(message: ActivationMessage) -> dict[str, Raw]:
    content = message.content
    if not message.init_args or not isinstance(content, Raw) or not bytes(content).lstrip().startswith(b"{"):
        return {}
    members = _members(content)
    return {name: members[name] for name in message.init_args if name in members}
