"""What a CouchDB answers the doctor: what is wrong with it is named, and nothing else is blamed."""

import msgspec
import pytest
from aiohttp import web

from tests.couch.database import Database
from tests.couch.server import PASSWORD, USER, Seen, Server
from upcall.doctor import examine
from upcall.doctor.examine import Report
from upcall.doctor.report import table
from upcall.setting import Role
from upcall.store.couch_http import CouchHttp
from upcall.store.couch_opening import prepare


async def ask(couch: Server, role: Role = "invoker", **changes: str) -> Report:
    """As the process in such an environment would be told."""
    told = {"username": USER, "password": PASSWORD, "host": "127.0.0.1", "port": str(couch.port)}
    names = couch.url()
    told |= {"databases_WhiskAuth": names.subjects, "databases_WhiskEntity": names.entities}
    told |= {"databases_WhiskActivation": names.activations, **changes}
    environment = {f"CONFIG_whisk_couchdb_{name}": value for name, value in told.items() if value}
    environment["UPCALL_ID"] = "0"
    report = await examine.process(role, {**environment, **BROKERS})
    assert PASSWORD not in table(report)
    assert (changes.get("password") or PASSWORD) not in table(report)
    return report


BROKERS = {"KAFKA_HOSTS": "127.0.0.1:1"}
"""Where nobody is: that is found, too."""


def named(report: Report) -> list[tuple[str, str]]:
    return [(each.id, each.severity) for each in report.findings if "Kafka" not in each.where]


@pytest.fixture
async def whole(couch: Server) -> Server:
    """As a controller has left it."""
    couch.databases |= {"_users": Database(), "_replicator": Database()}
    http = await CouchHttp(couch.url()).open()
    await prepare(http, "owner")
    await http.close()
    return couch


async def test_a_database_that_is_well(whole: Server) -> None:
    report = await ask(whole)
    assert named(report) == []
    assert "CouchDB at couchdb://whisk_admin:***@127.0.0.1" in report.looked_at


async def test_a_wrong_password(whole: Server) -> None:
    report = await ask(whole, password="another")
    assert named(report) == [("DEP-02", "error")]
    (found,) = [each for each in report.findings if each.id == "DEP-02"]
    assert "the user 'whisk_admin' or the password is refused" in found.cause
    assert "401" in found.evidence


async def test_no_user_where_each_request_needs_one(whole: Server) -> None:
    report = await ask(whole, username="", password="")
    assert named(report) == [("DEP-03", "error")]
    assert "require_valid_user" in report.findings[0].cause


async def test_a_database_that_is_missing(whole: Server) -> None:
    del whole.databases["test_whisks"]
    report = await ask(whole)
    assert named(report) == [("DEP-02", "error")]
    (found,) = [each for each in report.findings if each.id == "DEP-02"]
    assert "there is no database test_whisks" in found.cause
    assert named(await ask(whole, "controller")) == []  # which makes it


async def test_a_design_document_that_is_missing(whole: Server) -> None:
    whole.databases["test_activations"] = Database()
    report = await ask(whole)
    assert named(report) == [("DEP-02", "warning")]
    assert any("test_activations/_design/whisks-filters.v2.1.1" in each.cause for each in report.findings)


async def test_a_server_that_has_not_been_set_up(whole: Server) -> None:
    del whole.databases["_users"]
    assert named(await ask(whole)) == [("DEP-03", "error")]


async def test_a_database_that_this_user_may_not_read(whole: Server) -> None:
    async def refuse(seen: Seen) -> web.Response | None:
        if seen.path != "/test_subjects":
            return None
        body = msgspec.json.encode({"error": "forbidden", "reason": "You are not allowed to access this db."})
        return web.Response(status=403, body=body, content_type="application/json")

    whole.fault = refuse
    report = await ask(whole)
    assert named(report) == [("DEP-02", "error")]


async def test_something_else_at_that_port(whole: Server) -> None:
    async def other(_: Seen) -> web.Response:
        return web.Response(text="<html>welcome</html>")

    whole.fault = other
    report = await ask(whole)
    assert next(each.cause for each in report.findings if each.id == "DEP-02").endswith("is no CouchDB.")
    assert named(report) == [("DEP-02", "error")]


async def test_nobody_at_that_port(whole: Server) -> None:
    await whole.stop()
    report = await ask(whole)
    assert named(report) == [("DEP-05", "error")]
    assert "refused" in next(each.evidence for each in report.findings if "CouchDB" in each.where).lower()
