"""What an earlier life has started and not ended: whether it has an outcome, and if not, which one (D7).

    a record                                     it stands
    none, and a success would not be stored      what was acknowledged stands (`told`), and needs no record
    none                                         status 3, unless the action is `idempotent`: then it runs again

As long as the store cannot be asked, nothing is said: what stands in it is the truth, and another answer would
contradict it.
"""

import logging
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from upcall.core.record import StoreLevels, Times, activation_record, fallback_record, is_stored
from upcall.errors import NotFound
from upcall.invoker.asking import Asking
from upcall.invoker.known import Knowledge
from upcall.invoker.told import Told
from upcall.model import texts
from upcall.model.activation import SUCCESS, WHISK_ERROR, Activation, Response, error
from upcall.model.entities import Action
from upcall.model.messages import ActivationMessage
from upcall.ports import Store, Stored
from upcall.telemetry import about

log = logging.getLogger(__name__)

IDEMPOTENT = "idempotent"
"""The annotation of an action that may run twice."""


class Past(Enum):
    """Of what has started and has no record, and needs none. HALF_TOLD: its slot is not freed."""

    AGAIN = "it may run again"
    TOLD = "it was acknowledged"
    HALF_TOLD = "its result was acknowledged"


class Actions(Protocol):
    """Action documents by revision; no revision means the newest (spec: store.md §4)."""

    def cached(self, id: str, rev: str | None) -> Stored | None:
        """What is at hand."""

    async def fetch(self, id: str, rev: str | None) -> Stored:
        """Raises what `Store.get` raises."""


class Earlier:
    """`clock` gives epoch ms."""

    def __init__(
        self,
        store: Store,
        actions: Actions,
        knowledge: Knowledge,
        told: Told,
        asking: Asking,
        *,
        levels: StoreLevels,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._told = told
        self._asking = asking
        self._levels = levels
        self._actions = actions
        self._knowledge = knowledge
        self._clock = clock

    async def standing(self, message: ActivationMessage) -> Activation | None:
        """Its record, if there is one. Waits for the store."""
        id = f"{message.user.namespace.name}/{message.activation_id}"
        try:
            found = (await self._asking.answer(lambda: self._store.get(Activation, id))).doc
        except NotFound:
            return None
        except Exception:
            log.exception("whether there is a record cannot be read", extra=about(message))
            return None
        assert isinstance(found, Activation)
        return found

    async def outcome(self, message: ActivationMessage) -> Activation | Past:
        """The record that the earlier life has left, else that of its failure. Waits for the store."""
        tag = about(message)
        found = await self.standing(message)
        if found is not None:
            return found
        log.info("started by an earlier life, without a record", extra=tag)
        if not is_stored(message, Response(SUCCESS), self._levels):
            freed = await self._told.freed(message)
            if freed is not None:
                return Past.TOLD if freed else Past.HALF_TOLD
        response, now = error(WHISK_ERROR, texts.INTERRUPTED), self._clock()
        try:
            stored = await self._asking.answer(lambda: self._actions.fetch(message.action.id, message.revision))
            action = stored.doc
            assert isinstance(action, Action)
            if action.annotation(IDEMPOTENT) is True:
                return Past.AGAIN
            known = await self._knowledge.learn(action, stored.rev, message.user)
        except Exception as cause:  # noqa: BLE001 - whatever it is, nothing says that it may run again
            log.info("%s is not known: %s", message.action.id, cause, extra=tag)
            return fallback_record(message, response, now)
        return activation_record(known.recipe, message, response, Times(now, now, now))
