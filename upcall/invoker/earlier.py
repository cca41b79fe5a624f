"""What an earlier life has started and not ended: whether it has an outcome, and if not, which one (D7)."""

import logging
from collections.abc import Callable
from typing import Protocol

from upcall.core.record import Times, activation_record, fallback_record
from upcall.errors import NotFound
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
        """The record that the earlier life has left, else that of its failure; None where the action may run again."""
        tag = about(message)
        try:
            found = (await self._store.get(Activation, f"{message.user.namespace.name}/{message.activation_id}")).doc
            assert isinstance(found, Activation)
            return found
        except NotFound:
            log.info("started by an earlier life, without a record", extra=tag)
        except Exception:
            log.exception("whether there is a record cannot be read", extra=tag)
        response, now = error(WHISK_ERROR, texts.INTERRUPTED), self._clock()
        try:
            stored = await self._actions.fetch(message.action.id, message.revision)
            action = stored.doc
            assert isinstance(action, Action)
            if action.annotation(IDEMPOTENT) is True:
                return None
            known = await self._knowledge.learn(action, stored.rev, message.user)
        except Exception as cause:  # noqa: BLE001 - whatever it is, nothing says that it may run again
            log.info("%s is not known: %s", message.action.id, cause, extra=tag)
            return fallback_record(message, response, now)
        return activation_record(known.recipe, message, response, Times(now, now, now))
