"""What an Invoker works out about an action once: its recipe, what a request to it may use, why it cannot be run.

The key is a document's revision, and for a namespace with limits of its own the namespace too: the system's limits hold
for everybody else, so that one entry serves them all. Limits come with each message; an entry made for others than
these is made anew. The recipe, which is what costs, is one for all namespaces; that of large code is made in a thread.
"""

import asyncio
import logging
from collections import OrderedDict

import msgspec

from upcall.core.limits import effective
from upcall.core.record import limit_error
from upcall.core.run import Recipe, is_large, recipe_of
from upcall.invoker.call import Allowance
from upcall.model import texts
from upcall.model.activation import APPLICATION_ERROR, WHISK_ERROR, Response, error
from upcall.model.entities import BLACKBOX, SEQUENCE, Action, Identity, UserLimits
from upcall.model.messages import ActivationMessage
from upcall.model.runtimes import Manifest
from upcall.model.sizes import SystemLimits
from upcall.telemetry import about

log = logging.getLogger(__name__)

ENTRIES = 4096
"""Entries that are kept; some KB each."""
_UNLIMITED = UserLimits()


_Key = tuple[str, str, str, str]
"""Namespace (with the package), name and revision of the action, as they stand in it: to put its id together takes
longer than to find it. Then the caller's namespace, where that has limits of its own, or nothing."""


class Known(msgspec.Struct, frozen=True, eq=False):
    """What holds for one action, and for one caller's limits."""

    recipe: Recipe
    limits: UserLimits
    init: Allowance
    """Of /init: the system's for everybody."""
    run: Allowance
    """Of /run: the caller's."""
    refusal: Response | None = None
    """Why it cannot be run."""


class Knowledge:
    """Of one Invoker."""

    def __init__(self, manifest: Manifest, limits: SystemLimits, *, collected: bool = True) -> None:
        """`collected`: logs are."""
        self._manifest = manifest
        self._collected = collected
        self._limits = limits
        self._entries: OrderedDict[_Key, Known] = OrderedDict()
        self._learning: dict[tuple[str, str, str], asyncio.Future[Recipe]] = {}

    def of(self, action: Action, rev: str, user: Identity) -> Known | None:
        """None for large code that is to be learnt first. Raises ValueError for limits that are no limits."""
        limits = user.limits
        namespace = "" if limits == _UNLIMITED else user.namespace.name
        known = self._entries.get((action.namespace, action.name, rev, namespace))
        if known is not None and (not namespace or known.limits == limits):
            return known
        common = self._entries.get((action.namespace, action.name, rev, ""))
        if common is None and is_large(action):
            return None
        recipe = common.recipe if common else self._recipe(action)
        return self._keep((action.namespace, action.name, rev, namespace), self._known(action, recipe, limits))

    async def learn(self, action: Action, rev: str, user: Identity) -> Known:
        """What `of` gives, for large code too. Those who ask at one time share the work. Raises as `of` does."""
        known = self.of(action, rev, user)
        if known is not None:
            return known
        key = (action.namespace, action.name, rev)
        learning = self._learning.get(key)
        if learning is None:
            learning = asyncio.ensure_future(asyncio.to_thread(self._recipe, action))
            self._learning[key] = learning
            learning.add_done_callback(lambda _: self._learning.pop(key))
        recipe = await asyncio.shield(learning)
        self._keep((*key, ""), self._known(action, recipe, _UNLIMITED))
        known = self.of(action, rev, user)
        assert known is not None
        return known

    def _keep(self, key: _Key, known: Known) -> Known:
        self._entries[key] = known
        if len(self._entries) > ENTRIES:
            self._entries.popitem(last=False)
        return known

    def _recipe(self, action: Action) -> Recipe:
        """Its kind by the manifest's name, where it knows the kind."""
        runtime = self._manifest.runtime(action.exec.kind)
        recipe = recipe_of(action, runtime.kind if runtime else action.exec.kind)
        return recipe if self._collected else msgspec.structs.replace(recipe, log_limit=0)

    def _known(self, action: Action, recipe: Recipe, limits: UserLimits) -> Known:
        holds, kind, refusal = effective(self._limits, limits), action.exec.kind, None
        if text := limit_error(action.limits, holds):
            refusal = error(APPLICATION_ERROR, text)
        if kind == SEQUENCE:
            refusal = error(WHISK_ERROR, texts.ACTION_FETCH)
        elif kind != BLACKBOX and self._manifest.runtime(kind) is None:
            refusal = error(WHISK_ERROR, texts.ACTION_MISMATCH)
        return Known(recipe, limits, _allowance(action, self._limits), _allowance(action, holds), refusal)


def tell_unfit(action: Action, message: ActivationMessage, cause: Exception) -> None:
    """Why nothing can be known of it. Limits that are none are somebody's mistake, all else is ours."""
    bug = type(cause) is not ValueError
    log.error("%s cannot be run: %s", action.id, cause, exc_info=cause if bug else None, extra=about(message))


def _allowance(action: Action, limits: SystemLimits) -> Allowance:
    return Allowance(action.limits.timeout / 1000, limits.payload, min(limits.truncation, limits.payload))
