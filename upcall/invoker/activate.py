"""One activation, from its container to its end (spec: container.md §3, §7.2; bus.md §7.1).

A `Work` is the pool job's `task`. Its methods are the callbacks of each other's I/O, so a warm activation is four
plain calls: `run` → `_call` (POST /run) → `_ran` (answer, logs) → `_collected` (record, pool, the ack).

Which ack when: a caller waits for no logs, so where they are not at hand its result goes before them (`_split`). Where
they are, one ack says all, in this process; it is without logs as the result alone would be. The last ack, which frees
the controller's slot, follows the record, so that whoever is told "finished" finds it. It also follows the result ack
for good, because a result refused for its size is sent again, smaller, and the last ack must not overtake it. Where
neither store nor bus makes a promise (`Keeper.promise`), the result is told when the record is durable, and not before.
The pool learns of the free container before the controller does: else the controller's next message would find it
taken.

`started` is asked of the feed once, even when the job comes back to another container: until it calls back no user
code has run (D7). A job goes back to the pool where the container says 503 or, idle before, refuses the connection
(D14); with it goes what it ends with when the pool has had enough: a 503 is then an answer like any other.
"""

import logging
from collections.abc import Callable
from time import perf_counter

from upcall.core.events import Inited, Job, JobReturned, Reason, SlotId, Start
from upcall.core.outcome import (
    ANSWERED,
    REFUSED,
    TIMED_OUT,
    Outcome,
    init_response,
    initialised,
    run_response,
    timed_out,
    unavailable,
)
from upcall.core.record import Times, activation_record, with_logs
from upcall.core.run import context_of, init_body, run_body
from upcall.invoker.aborts import abort_response, is_excused
from upcall.invoker.desk import Box, Desk
from upcall.invoker.known import Known
from upcall.logs.streams import entry
from upcall.model import texts
from upcall.model.activation import DEVELOPER_ERROR, WHISK_ERROR, Response, error
from upcall.model.entities import Action
from upcall.model.messages import SYSTEM, ActivationMessage, is_probe
from upcall.ports import Lines
from upcall.telemetry import about

log = logging.getLogger(__name__)

AT_ONCE, OVER = -1.0, -2.0
"""When a collection of logs began, as long as it has not been waited for, and when it has ended."""


class Work:
    """One activation; made when its message arrives, run when the pool has a container for it."""

    __slots__ = (
        "_abandoned",
        "_asked",
        "_begun",
        "_box",
        "_cause",
        "_collecting",
        "_desk",
        "_fresh",
        "_init",
        "_init_ms",
        "_kept",
        "_large",
        "_logged",
        "_offset",
        "_promised",
        "_record",
        "_reusable",
        "_run_start",
        "_slot",
        "_split",
        "_stored",
        "_told",
        "action",
        "context",
        "job",
        "known",
        "message",
        "recipe",
        "tally",
    )

    def __init__(self, desk: Desk, offset: int, message: ActivationMessage, known: Known, action: Action) -> None:
        self._desk = desk
        self._offset = offset
        self.message = message
        self.action = action
        recipe = self.recipe = known.recipe
        self.known = known
        self.context = context = context_of(recipe, message)
        self.tally = desk.tally(context.key) or desk.counters.tallies.of(context.key, message)
        self.job = Job(
            message.activation_id,
            context.key,
            recipe.kind,
            recipe.memory,
            recipe.concurrency,
            self,
            message.action.path == SYSTEM and is_probe(message),
        )
        self._abandoned: Response | None = None
        self._promised: bool | None
        """Whether the result may be told before the record is durable; None: that was not asked yet."""
        self._begun = False

    # --- the pool's commands

    def found(self, start: Start) -> None:
        """There is a container for it, found in this way; `run` follows. Of a warm one the pool counts itself."""
        self.tally.starts[start] += 1

    def run(self, slot: SlotId, box: Box, init: bool, fresh: bool) -> None:
        """Run in this container; reports Inited, then JobDone or JobReturned."""
        self._slot = slot
        self._box = box
        self._init = init
        self._fresh = fresh
        self._init_ms: int | None = None
        if self._begun:
            self._call()
        else:
            self._begun = True
            self._desk.feed.started(self._offset, self._call)

    def abort(self, reason: Reason, cause: object) -> None:
        """End without having run; at a shutdown that is for the next life, unless this one has said that it started
        (D8). What ends has started, as far as the feed knows: else a next life could run what this one has answered."""
        if self._begun:
            self._fall(reason, cause)
        elif reason == "drain" and not self._desk.last:
            self.job.task = None
        else:
            self._desk.feed.started(self._offset, lambda: self._fall(reason, cause))

    def _fall(self, reason: Reason, cause: object) -> None:
        response = abort_response(reason, cause, self.job)
        now = self._desk.clock()
        record = activation_record(self.recipe, self.message, response, Times(now, now, now))
        self._record = self._logged = record
        self._stored = self._desk.stores(self.message, record)
        self._desk.counters.aborted += 1
        self._desk.counters.note(record, self.message.action.id)
        acks = self._desk.acks
        bound = reason in ("init", "returned") and not self.message.blocking
        last, excused = acks.completion if bound else acks.combined, is_excused(cause)
        keep = self._desk.keeper.tell if self.message.blocking else self._desk.keeper.keep
        if self._desk.over:
            return
        if self._stored:
            keep(record, lambda: last(self.message, record, self._end, excused))
        else:
            last(self.message, record, self._end, excused)

    def refuse(self, slot: SlotId, response: Response) -> None:
        """Go back to the pool: this container does not take it. Too often, and the job ends with this response."""
        self._desk.counters.rescheduled += 1
        self._desk.report(JobReturned(slot, self.job, response))

    def abandon(self, response: Response) -> None:
        """The platform stops: end now, with this response, whatever the container does."""
        self._abandoned = response
        if self._begun:
            self._box.runtime.close()

    # --- the container's answers

    def _call(self) -> None:
        now = self._asked = self._desk.clock()
        if self._abandoned is not None:
            self._respond(self._abandoned, Times(now, now, now))
        elif not self._init:
            self._post(now)
        else:
            self._desk.counters.inits += 1
            try:
                body = init_body(self.recipe, self.context, self.message, now + self.recipe.timeout, self.action)
            except Exception as cause:  # noqa: BLE001 - the boundary of one activation
                self._surprised(now, cause)
            else:
                self._box.runtime.post(b"/init", body, self.known.init, self._inited, retry=True)

    def _post(self, now: int) -> None:
        self._run_start = now
        try:
            body = run_body(self.recipe, self.context, self.message, now + self.recipe.timeout)
        except Exception as cause:  # noqa: BLE001 - the boundary of one activation
            self._surprised(now, cause)
        else:
            self._box.runtime.post(b"/run", body, self.known.run, self._ran)

    def _surprised(self, now: int, cause: Exception) -> None:
        """Its arguments cannot be passed on: they are the caller's, and may be anything that JSON allows. That is no
        error of the system, or callers could take Invokers away from everybody."""
        log.warning("no request can be made: %r", cause, extra=about(self.message))
        init, theirs = self._init_ms, isinstance(cause, ValueError | RecursionError)
        response = error(DEVELOPER_ERROR if theirs else WHISK_ERROR, texts.RUN_DIED)
        self._respond(response, Times(self._asked, now - (init or 0), now, init))

    def _inited(self, outcome: Outcome) -> None:
        now = self._desk.clock()
        self._init_ms = max(0, now - self._asked)  # the clock may have been set back
        if initialised(outcome) and self._abandoned is None:
            self._desk.counters.init_times.observe(outcome.elapsed)
            self._desk.report(Inited(self._slot))
            self._post(now)
        else:
            self._doubt(outcome, lambda exhausted: self._not_inited(outcome, now, exhausted))

    def _not_inited(self, outcome: Outcome, now: int, exhausted: bool) -> None:
        timeout = self.recipe.timeout
        response = self._abandoned or init_response(outcome, timeout, self.known.init.limit, exhausted)
        if unavailable(outcome) and self._abandoned is None:
            self.refuse(self._slot, response)
            return
        self._desk.counters.init_error_times.observe(outcome.elapsed)
        times = Times(self._asked, self._asked, now, self._init_ms, timed_out(outcome, timeout))
        self._respond(response, times, cause=response)

    def _ran(self, outcome: Outcome) -> None:
        now = self._desk.clock()
        if outcome.ending is ANSWERED or (self._fresh and outcome.ending is REFUSED):
            self._judge(outcome, now)
        else:
            self._doubt(outcome, lambda exhausted: self._judge(outcome, now, exhausted))

    def _judge(self, outcome: Outcome, now: int, exhausted: bool = False) -> None:
        timeout, init, ending, elapsed = self.recipe.timeout, self._init_ms, outcome.ending, outcome.elapsed
        response = self._abandoned or run_response(outcome, timeout, self.known.run.limit, exhausted)
        refused = outcome.status == 503 or (ending is REFUSED and self._fresh)
        if refused and self._abandoned is None:
            self.refuse(self._slot, response)
            return
        (self.tally.times if ending is ANSWERED else self._desk.counters.run_error_times).observe(elapsed)
        late = elapsed * 1000 >= timeout or ending is TIMED_OUT
        start = self._run_start - init if init else self._run_start
        self._respond(response, Times(self._asked, start, now, init, late))

    def _doubt(self, outcome: Outcome, then: Callable[[bool], None]) -> None:
        """Whether a lost connection is the memory's fault; silence until the time-out is not (container.md §2.5)."""
        if outcome.ending is ANSWERED or self._abandoned is not None or timed_out(outcome, self.recipe.timeout):
            then(False)
        else:
            self._box.container.exhausted(then)

    # --- the end

    def _respond(self, response: Response, times: Times, cause: Response | None = None) -> None:
        desk = self._desk
        if desk.over:
            return
        record = self._record = self._logged = activation_record(self.recipe, self.message, response, times)
        self._cause = cause
        self._kept = self._large = self._split = False
        self._told = True
        message, status, counters = self.message, response.status_code, desk.counters
        self._reusable = status < DEVELOPER_ERROR
        self.tally.outcomes[status] += 1
        if times.waited > 1:
            counters.waits.observe(times.waited / 1000)
        else:
            counters.unwaited += 1
        if status:
            counters.note(record, message.action.id)
        stored = self._stored = desk.stores(message, record)
        blocking = message.blocking
        self._promised = None if blocking and stored else True
        limit = self.recipe.log_limit
        if not limit:
            self._finish()
            return
        if blocking and desk.apart:
            self._tell_result()
        self._collecting = AT_ONCE
        self._box.container.collect(limit, self._reusable, self._collected)
        if self._collecting is AT_ONCE:
            self._collecting = perf_counter()
        if blocking and not (self._kept or self._split):  # its caller waits for no logs, and for no room in the store
            self._tell_result()

    def _collected(self, found: Lines) -> None:
        if self._desk.over:
            return
        began, self._collecting = self._collecting, OVER
        if found.failed:
            self._desk.counters.collect_error_times.observe(0.0 if began is AT_ONCE else perf_counter() - began)
        elif began is AT_ONCE:
            self._desk.counters.collected_at_once += 1
        else:
            self._desk.counters.collect_times.observe(perf_counter() - began)
        lines = found.lines
        if self._record.response.status_code == DEVELOPER_ERROR:
            lines = [*lines, entry(self._desk.clock() * 1_000_000, "stderr", texts.LOGS_DEVELOPER)]
        if lines:
            self._logged = with_logs(self._record, lines)
        if self._desk.files is None:
            self._finish()
        else:
            self._desk.files.add(self._logged, self.message, self._finish)

    def _tell_result(self) -> None:
        """Apart from the last ack, if it may be told yet."""
        if self._promised is None:
            self._promised = self._desk.keeper.promise(self._logged)
        if self._promised:
            self._split, self._told = True, False
            self._desk.acks.result(self.message, self._record, self._result_told, self._result_refused)

    def _finish(self) -> None:
        """All that belongs to the record is there."""
        if self._promised is None:
            self._promised = self._desk.keeper.promise(self._logged)
        if self._stored:
            self._desk.keeper.keep(self._logged, self._kept_record)
        else:
            self._kept_record()

    def _kept_record(self) -> None:
        self._kept = True
        self._desk.end(self._slot, self.job, self._reusable, self._cause)
        if self._told:
            self._last_ack()

    def _result_told(self) -> None:
        self._told = True
        if self._kept:
            self._last_ack()

    def _result_refused(self) -> None:
        """It is too large: its id goes when its record is durable."""
        self._large = True
        self._result_told()

    def _last_ack(self) -> None:
        if self._desk.over:
            return
        if self._promised and not self._large:
            self._tell_end()
        elif self._large:
            self._desk.keeper.settle(self._tell_id)
        else:
            self._desk.keeper.settle(self._tell_end)

    def _tell_id(self) -> None:
        self._desk.acks.result(self.message, self.message.activation_id, self._tell_end, self._tell_end)

    def _tell_end(self) -> None:
        message, acks = self.message, self._desk.acks
        (acks.combined if message.blocking and not self._split else acks.completion)(message, self._record, self._end)

    def _end(self) -> None:
        self.job.task = None  # no cycle is left: an activation is freed at once, without the collector
        self._desk.feed.done(self._offset)
