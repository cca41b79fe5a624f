"""The faults of a fleet. Each begins, lasts, and puts things back; `amount` from 0 to 1 says how much of it, and whom.

None of them sleeps for want of a better way to wait: how long a fault lasts is what the sleep is for. What a fault may
leave to itself, as an Invoker that has to be found healthy again, is not waited for: the next one comes upon it.
"""

import re
import signal
import time
from collections.abc import Callable

from tests.system.chaos.ledger import Fault, Ledger
from tests.system.chaos.schedule import Step
from tests.system.fleet.member import Member
from tests.system.fleet.world import SESSION, World

PATIENCE = 60.0
LATE = 15.0
"""Seconds after which there is a next life: long enough for controllers to take the Invoker for gone."""
FENCED = r"Another process has (taken the place|committed) in group \S+"
OPERATOR = "invoker.user:invoker.pass"


class Deeds:
    """What can be done to a fleet."""

    def __init__(self, world: World, ledger: Ledger) -> None:
        self._world = world
        self._ledger = ledger
        self._places = 0
        self._all: dict[str, Callable[[Fault], None]] = {
            "invoker-killed": self._invoker_killed,
            "invoker-replaced-late": self._invoker_replaced_late,
            "invoker-drained": lambda fault: self._drained(self._invoker(fault)),
            "invoker-stopped": self._invoker_stopped,
            "invoker-doubled": lambda fault: self._doubled(self._invoker(fault)),
            "invoker-disabled": self._invoker_disabled,
            "controller-killed": self._controller_killed,
            "controller-drained": lambda fault: self._drained(self._controller(fault)),
            "controller-doubled": lambda fault: self._doubled(self._controller(fault)),
            "broker-killed": self._broker_killed,
            "broker-frozen": self._broker_frozen,
            "broker-and-invoker-killed": self._broker_and_invoker_killed,
            "database-killed": self._database_killed,
            "database-stopped": self._database_stopped,
            "database-frozen": self._database_frozen,
            "database-and-invoker-killed": self._database_and_invoker_killed,
            "all-invokers-killed": self._all_invokers_killed,
        }

    def do(self, step: Step) -> None:
        """Returns when it is over, and every process is there again."""
        with self._ledger.fault(step.deed, step.amount) as fault:
            self._all[step.deed](fault)

    def _invoker(self, fault: Fault) -> Member:
        return self._chosen(fault, self._world.invokers)

    def _controller(self, fault: Fault) -> Member:
        return self._chosen(fault, self._world.controllers)

    def _chosen(self, fault: Fault, members: list[Member]) -> Member:
        member = members[int(fault.amount * 100) % len(members)]
        fault.note = member.name
        return member

    # --- members

    def _invoker_killed(self, fault: Fault) -> None:
        invoker = self._invoker(fault)
        invoker.kill()
        invoker.start()

    def _invoker_replaced_late(self, fault: Fault) -> None:
        invoker = self._invoker(fault)
        invoker.kill()
        time.sleep(LATE)
        invoker.start()

    def _all_invokers_killed(self, fault: Fault) -> None:
        for invoker in self._world.invokers:
            invoker.kill()
        time.sleep(3 * fault.amount)
        for invoker in self._world.invokers:
            invoker.launch()
        for invoker in self._world.invokers:
            invoker.await_ready()

    def _controller_killed(self, fault: Fault) -> None:
        controller = self._controller(fault)
        controller.kill()
        time.sleep(2 * fault.amount)
        controller.start()

    def _drained(self, member: Member) -> None:
        if wrong := member.terminate(PATIENCE):
            self._complain(wrong)
        member.start()

    def _invoker_stopped(self, fault: Fault) -> None:
        """Past the session's end for half of them. It goes on, or ends with the reason and is started again."""
        invoker = self._invoker(fault)
        invoker.signal(signal.SIGSTOP)
        time.sleep(1 + 2 * SESSION * fault.amount)
        invoker.signal(signal.SIGCONT)

    def _doubled(self, member: Member) -> None:
        """A second process takes the place, and the first ends with the reason; or the second does, where the first was
        just coming back to a broker that had been away."""
        first = member.life
        assert first is not None
        self._places += 1
        member.launch(f"-{self._places}")
        second = member.life
        assert second is not None
        deadline = time.monotonic() + PATIENCE
        while first.alive and second.alive:
            if time.monotonic() > deadline:
                self._complain(f"{member.name} still runs {PATIENCE:.0f} s after another took its place")
                first.kill()
            time.sleep(0.05)
        fenced = second if first.alive else first
        code, said = fenced.process.wait(), fenced.said
        if code != 1 or not re.search(FENCED, said.splitlines()[-1]):
            self._complain(f"{member.name} ended with {code} when another had its place, and said: {said[-600:]}")
        member.life = first if fenced is second else second
        member.await_ready()

    def _invoker_disabled(self, fault: Fault) -> None:
        invoker = self._invoker(fault)
        self._told(invoker, "disable")
        self._seen(invoker, "down")
        time.sleep(2 * fault.amount)
        self._told(invoker, "enable")
        self._seen(invoker, "up")

    def _told(self, invoker: Member, what: str) -> None:
        answer = invoker.request("POST", f"/{what}", OPERATOR)
        if answer.status != 200 or f"is now {what}d" not in str(answer.body):
            self._complain(f"POST /{what} of {invoker.name}: {answer.status} {answer.body}")

    def _seen(self, invoker: Member, state: str) -> None:
        """All controllers see it so, or see the reason in the next fault."""
        deadline = time.monotonic() + PATIENCE
        while any(controller.states().get(invoker.number) != state for controller in self._world.controllers):
            if time.monotonic() > deadline:
                seen = [controller.states() for controller in self._world.controllers]
                self._complain(f"{invoker.name} is not {state} {PATIENCE:.0f} s after it should be: {seen}")
                return
            time.sleep(0.05)

    # --- what they live on

    def _broker_killed(self, fault: Fault) -> None:
        self._world.broker.kill()
        time.sleep(4 * fault.amount)
        self._world.broker.start()

    def _broker_frozen(self, fault: Fault) -> None:
        self._world.broker.freeze()
        time.sleep(1 + 9 * fault.amount)
        self._world.broker.thaw()

    def _broker_and_invoker_killed(self, fault: Fault) -> None:
        invoker = self._invoker(fault)
        self._world.broker.kill()
        invoker.kill()
        time.sleep(2 * fault.amount)
        self._world.broker.start()
        invoker.start()

    def _database_killed(self, fault: Fault) -> None:
        self._world.server.kill()
        time.sleep(3 * fault.amount)
        self._world.server.start()

    def _database_stopped(self, fault: Fault) -> None:
        self._world.server.stop()
        time.sleep(6 * fault.amount)
        self._world.server.start()

    def _database_frozen(self, fault: Fault) -> None:
        self._world.server.pause()
        time.sleep(1 + 7 * fault.amount)
        self._world.server.resume()

    def _database_and_invoker_killed(self, fault: Fault) -> None:
        """What has run has no record yet, and never gets its true one."""
        invoker = self._invoker(fault)
        self._world.server.kill()
        time.sleep(fault.amount)
        invoker.kill()
        self._world.server.start()
        invoker.start()

    def _complain(self, text: str) -> None:
        self._ledger.complaints.append(f"at {self._ledger.now():.2f}: {text}")
