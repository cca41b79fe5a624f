"""What the engine tells of one container, as far as it is used here."""

from typing import Any

import msgspec

from upcall.containers.docker.engine import Engine


class _State(msgspec.Struct, rename="pascal"):
    running: bool
    pid: int
    exit_code: int
    killed: bool = msgspec.field(name="OOMKilled")


class _Config(msgspec.Struct, rename="pascal"):
    labels: dict[str, str] | None


class _Networking(msgspec.Struct, rename="pascal"):
    networks: dict[str, dict[str, Any]] | None


class _Container(msgspec.Struct, rename="pascal"):
    id: str
    state: _State
    config: _Config
    network_settings: _Networking


async def inspect(engine: Engine, id: str) -> dict[str, Any]:
    """By id or name; what is used is there. Raises EngineAway, EngineError."""
    async with engine.asked(engine.timeouts.inspect, "inspect") as docker:
        found: dict[str, Any] = await docker.containers.container(id).show()
        msgspec.convert(found, _Container)
    return found
