"""What an earlier life has started and not ended: whether it has an outcome, and if not, which one (D7).

    a record                            it stands
    none, and its result was told       what was told stands (`told`); its record is kept, where it is to be
    none                                status 3, unless the action is `idempotent`: then it runs again

As long as the store cannot be asked, nothing is said: what stands in it is the truth, and another answer would
contradict it. Somebody else, who still lives, may write at the same time: what stands in the end is what is told.
"""

import logging
from collections.abc import Callable
from typing import Protocol

from upcall.core.record import StoreLevels, Times, activation_record, fallback_record, is_stored
from upcall.errors import NotFound
from upcall.invoker.asking import Asking
from upcall.invoker.known import Knowledge
from upcall.invoker.records import Records
from upcall.invoker.told import Said, Told
from upcall.model import texts
from upcall.model.activation import SUCCESS, WHISK_ERROR, Activation, Response, error
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

    def __init__(
        self,
        store: Store,
        actions: Actions,
        knowledge: Knowledge,
        told: Told,
        asking: Asking,
        *,
        records: Records,
        levels: StoreLevels,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._told = told
        self._asking = asking
        self._records = records
        self._levels = levels
        self._actions = actions
        self._knowledge = knowledge
        self._clock = clock

    async def outcome(self, message: ActivationMessage) -> Activation | Said | None:
        """The record that stands, durable where it is to be: the earlier life's, or that of its failure; what was said,
        where it was; None: it may run again. Waits for the store."""
        record = await self._standing(message)
        if record is not None:
            return record
        log.info("started by an earlier life, without a record", extra=about(message))
        said = await self._said(message)
        if said is not None:
            if said.record is not None:
                await self._kept(message, said.record)
            return said
        interrupted = await self._interrupted(message)
        return None if interrupted is None else await self._kept(message, interrupted)

    async def _standing(self, message: ActivationMessage) -> Activation | None:
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

    async def _said(self, message: ActivationMessage) -> Said | None:
        """What was acknowledged, where that says how it ended. A slot that is freed says it only of what needs no
        record: else the record comes before, though perhaps not as far as the database."""
        unrecorded = not is_stored(message, Response(SUCCESS), self._levels)
        if not (message.blocking or unrecorded):
            return None
        said = await self._told.said(message)
        return said if said is not None and (unrecorded or said.record is not None) else None

    async def _kept(self, message: ActivationMessage, record: Activation) -> Activation:
        """The record that stands: this one, unless there is one by now."""
        if not is_stored(message, record.response, self._levels):
            return record
        await self._records.kept(record)
        return await self._standing(message) or record

    async def _interrupted(self, message: ActivationMessage) -> Activation | None:
        """The record of its failure."""
        response, now = error(WHISK_ERROR, texts.INTERRUPTED), self._clock()
        try:
            stored = await self._asking.answer(lambda: self._actions.fetch(message.action.id, message.revision))
            action = stored.doc
            assert isinstance(action, Action)
            if action.annotation(IDEMPOTENT) is True:
                return None
            known = await self._knowledge.learn(action, stored.rev, message.user)
        except Exception as cause:  # noqa: BLE001 - whatever it is, nothing says that it may run again
            log.info("%s is not known: %s", message.action.id, cause, extra=about(message))
            return fallback_record(message, response, now)
        return activation_record(known.recipe, message, response, Times(now, now, now))
