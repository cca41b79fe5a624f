"""`upcall controller`: the REST API alone; its Invokers are other processes on the same brokers."""

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request

from upcall import __version__
from upcall.app.api import hosted_manifest, make_controller, until
from upcall.app.folders import write_properties
from upcall.app.ground import taken, url_of
from upcall.app.parts import freeze_heap
from upcall.app.readiness import Ready
from upcall.config import Settings
from upcall.controller.subjects import ensure_subject
from upcall.controller.system import UP
from upcall.http.envelope import Answer
from upcall.http.operator import Operator, process_routes, text_answer
from upcall.lifetime import Stop
from upcall.model import texts
from upcall.model.names import Json
from upcall.places import GUEST
from upcall.store.choice import retained
from upcall.telemetry import Log
from upcall.watch.credentials import operator_credentials
from upcall.watch.process import Watch

if TYPE_CHECKING:
    from upcall.controller.service import Controller

log = logging.getLogger("upcall")


class Role:
    """What its routes ask of the controller, which is made after them."""

    def __init__(self, settings: Settings, data: Path, url: str) -> None:
        self._settings = settings
        self._data = data
        self._url = url
        self.stopping = False
        self.controller: Controller | None = None

    def hindrances(self) -> list[str]:
        """Why it does not do its work, in sentences."""
        if self.controller is None:
            return ["it starts"]
        return [*self.controller.hindrances, *(["it stops"] if self.stopping else [])]

    def state(self) -> str:
        if self.stopping:
            return "draining"
        return "disabled" if self.controller and self.controller.hindrances else "ready"

    def invokers(self) -> dict[str, Json]:
        states = list(self.controller.fleet.states().values()) if self.controller else []
        return {"healthy": states.count(UP), "invokers": len(states)}

    def facts(self) -> dict[str, Json]:
        """Of its status."""
        return {
            "role": "controller",
            "address": self._url,
            "id": self._settings.controller_id,
            "data": str(self._data),
            "durability": self._settings.durability,
            **self.invokers(),
        }

    async def disable(self, request: Request) -> Answer:
        if self.controller is not None:
            await self.controller.disable()
        return text_answer(texts.CONTROLLER_DISABLED)


async def controller(settings: Settings, say: Callable[[str], None], logs: Log) -> int:
    stop = Stop()
    async with contextlib.AsyncExitStack() as stack:
        stop.listen(stack)
        ground = await taken(settings, stack)
        data, store, url = ground.data, ground.store, url_of(settings, ground)
        if settings.auth is not None:
            await ensure_subject(store, GUEST, settings.auth)
        role = Role(settings, data, url)
        watch = Watch(
            f"controller{settings.controller_id}", store, logs, role.facts, state=role.state, hindered=role.hindrances
        )
        stack.enter_context(watch.running())
        credentials = operator_credentials(data, settings.operator_username, settings.operator_password)
        routes = {**process_routes(watch), "/disable": {"POST": role.disable}}
        made = role.controller = await stack.enter_async_context(
            make_controller(
                settings,
                ground,
                watch,
                manifest=settings.runtimes or hosted_manifest(settings.driver),
                operator=Operator(credentials, routes, texts.CONTROLLER_REFUSED),
                ready=Ready(store, lambda: watch.hindrances, role.invokers).answer,
            )
        )
        await stack.enter_async_context(retained(store, settings.keep))
        ground.owner.announce(made.port)
        write_properties(data, url, settings.auth)
        freeze_heap()
        if not stop.asked.done():
            say(f"upcall {__version__} controller{settings.controller_id} is ready at {url}")
        await until(made, stop)
        role.stopping = True
        log.info("stopping: callers have %g s to get their answers; a second signal stops at once", settings.grace)
        await made.stop(settings.grace)
    return 1 if store.lost else 0
