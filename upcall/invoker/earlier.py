"""What an earlier life has started and not ended: whether it has an outcome, and if not, which one (D7).

As long as the store cannot be asked, nothing is said: what stands in it is the truth, and another answer would
contradict it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from upcall.core.record import Times, activation_record, fallback_record
from upcall.errors import NotFound, Unavailable
from upcall.invoker.known import Knowledge
from upcall.model import texts
from upcall.model.activation import WHISK_ERROR, Activation, error
from upcall.model.entities import Action
from upcall.model.messages import ActivationMessage
from upcall.ports import Store, Stored
from upcall.telemetry import about

log = logging.getLogger(__name__)

IDEMPOTENT = "idempotent"
"""The annotation of an action that may run twice."""
AGAIN = 0.5
"""Seconds after which a store that could not be asked is asked again."""


class Actions(Protocol):
    """Action documents by revision; no revision means the newest (spec: store.md §4)."""

    def cached(self, id: str, rev: str | None) -> Stored | None:
        """What is at hand."""

    async def fetch(self, id: str, rev: str | None) -> Stored:
        """Raises what `Store.get` raises."""


class Earlier:
    """`clock` gives epoch ms."""

    def __init__(self, store: Store, actions: Actions, knowledge: Knowledge, clock: Callable[[], int]) -> None:
        self._store = store
        self._actions = actions
        self._knowledge = knowledge
        self._clock = clock

    async def outcome(self, message: ActivationMessage) -> Activation | None:
        """The record that the earlier life has left, else that of its failure; None where the action may run again.
        Waits for the store."""
        tag = about(message)
        id = f"{message.user.namespace.name}/{message.activation_id}"
        try:
            found = (await _answered(lambda: self._store.get(Activation, id), tag)).doc
            assert isinstance(found, Activation)
            return found
        except NotFound:
            log.info("started by an earlier life, without a record", extra=tag)
        except Exception:
            log.exception("whether there is a record cannot be read", extra=tag)
        response, now = error(WHISK_ERROR, texts.INTERRUPTED), self._clock()
        try:
            stored = await _answered(lambda: self._actions.fetch(message.action.id, message.revision), tag)
            action = stored.doc
            assert isinstance(action, Action)
            if action.annotation(IDEMPOTENT) is True:
                return None
            known = await self._knowledge.learn(action, stored.rev, message.user)
        except Exception as cause:  # noqa: BLE001 - whatever it is, nothing says that it may run again
            log.info("%s is not known: %s", message.action.id, cause, extra=tag)
            return fallback_record(message, response, now)
        return activation_record(known.recipe, message, response, Times(now, now, now))


async def _answered(read: Callable[[], Awaitable[Stored]], tag: dict[str, str]) -> Stored:
    """What the store says, as soon as it says something."""
    asked = 0
    while True:
        try:
            return await read()
        except Unavailable as error:
            if not asked:
                log.warning("started by an earlier life; the store is asked until it answers: %s", error, extra=tag)
        asked += 1
        await asyncio.sleep(AGAIN)
