"""What an Invoker works out about an action once: its recipe, what a request to it may use, why it cannot be run.

The key is a document's revision, and for a namespace with limits of its own the namespace too: the system's limits hold
for everybody else, so that one entry serves them all. Limits come with each message; an entry made for others than
these is made anew. The recipe, which is what costs, is one for all namespaces.
"""

from collections import OrderedDict

import msgspec

from upcall.core.limits import effective
from upcall.core.record import limit_error
from upcall.core.run import Recipe, recipe_of
from upcall.invoker.runtime import Allowance
from upcall.model import texts
from upcall.model.activation import APPLICATION_ERROR, WHISK_ERROR, Response, error
from upcall.model.entities import BLACKBOX, SEQUENCE, Action, Identity, UserLimits
from upcall.model.runtimes import Manifest
from upcall.model.sizes import SystemLimits

ENTRIES = 4096
"""Entries that are kept; some KB each."""
_UNLIMITED = UserLimits()


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

    def __init__(self, manifest: Manifest, limits: SystemLimits) -> None:
        self._manifest = manifest
        self._limits = limits
        self._entries: OrderedDict[tuple[str, str, str], Known] = OrderedDict()

    def of(self, action: Action, rev: str, user: Identity) -> Known:
        """Raises ValueError for limits that are no limits."""
        limits = user.limits
        namespace = "" if limits == _UNLIMITED else user.namespace.name
        known = self._entries.get((action.id, rev, namespace))
        if known is not None and (not namespace or known.limits == limits):
            return known
        known = self._entries[action.id, rev, namespace] = self._learn(action, rev, limits)
        if len(self._entries) > ENTRIES:
            self._entries.popitem(last=False)
        return known

    def _learn(self, action: Action, rev: str, limits: UserLimits) -> Known:
        holds, kind, refusal = effective(self._limits, limits), action.exec.kind, None
        if text := limit_error(action.limits, holds):
            refusal = error(APPLICATION_ERROR, text)
        if kind == SEQUENCE:
            refusal = error(WHISK_ERROR, texts.ACTION_FETCH)
        elif kind != BLACKBOX:
            runtime = self._manifest.runtime(kind)
            kind = runtime.kind if runtime else kind
            refusal = refusal if runtime else error(WHISK_ERROR, texts.ACTION_MISMATCH)
        common = self._entries.get((action.id, rev, ""))
        recipe = common.recipe if common else recipe_of(action, kind)
        return Known(recipe, limits, _allowance(action, self._limits), _allowance(action, holds), refusal)


def _allowance(action: Action, limits: SystemLimits) -> Allowance:
    return Allowance(action.limits.timeout / 1000, limits.payload, min(limits.truncation, limits.payload))
