"""Requests made from the API's own description, alone and in a row (create, get, invoke, the record), against a whole
Controller: what it answers has to be described, and no request may break it."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule, run_state_machine_as_test
from hypothesis.strategies import from_regex
from schemathesis import Case
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.contract import make
from tests.api.served import AUTH, served
from upcall.controller.schemas import NAME

CHECKS = [
    schemathesis.checks.not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]
SCHEMA = schemathesis.openapi.from_dict(make())
OPERATIONS = {
    found.ok().definition.raw["operationId"]: found.ok()
    for found in SCHEMA.get_all_operations()
    if isinstance(found, Ok)
}
CALM = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served() as url:
        yield url


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation(url: str, operation: str) -> None:
    @hypothesis.given(case=OPERATIONS[operation].as_strategy())
    @settings(CALM, max_examples=20)
    def run(case: Case[Any]) -> None:
        if "namespace" in case.path_parameters:
            case.path_parameters["namespace"] = "_"  # nothing can be learned of another's
        case.call_and_validate(base_url=url, checks=[*CHECKS, ignored_auth], auth=AUTH)

    run()


class Life(RuleBasedStateMachine):
    """Of actions and their activations, on a platform without actions."""

    names = Bundle("names")
    ids = Bundle("ids")
    url: str
    reached: dict[str, set[int]]

    def __init__(self) -> None:
        super().__init__()
        self.versions: dict[str, str] = {}
        actions = f"{self.url}/api/v1/namespaces/_/actions"
        while left := requests.get(actions, auth=AUTH, timeout=10).json():
            for action in left:
                requests.delete(f"{actions}/{quote(action['name'])}", auth=AUTH, timeout=10).raise_for_status()

    def call(self, operation: str, case: Case[Any], **path: str) -> Any:
        case.path_parameters.update(namespace="_", **path)
        response = case.call(base_url=self.url, auth=AUTH)
        case.validate_response(response, checks=CHECKS)
        self.reached.setdefault(operation, set()).add(response.status_code)
        return response

    @initialize(target=names, case=OPERATIONS["putAction"].as_strategy())
    def create_one(self, case: Case[Any]) -> str:
        """That is there whatever the strategy thinks of, so that there is something to call."""
        case.body = {"exec": {"kind": "python:3.11", "code": ""}}
        return self.put("one", case)

    @initialize(target=ids, case=OPERATIONS["invokeAction"].as_strategy())
    def invoke_one(self, case: Case[Any]) -> Any:
        case.query, case.body = {"blocking": "true"}, {}
        return self.post("one", case)

    @rule(target=names, name=from_regex(NAME, fullmatch=True), case=OPERATIONS["putAction"].as_strategy())
    def create(self, name: str, case: Case[Any]) -> str:
        return self.put(name, case)

    def put(self, name: str, case: Case[Any]) -> str:
        response = self.call("putAction", case, actionName=name)
        if response.status_code == 200:
            self.versions[name] = response.json()["version"]
        return name

    @rule(name=names, case=OPERATIONS["putAction"].as_strategy())
    def update(self, name: str, case: Case[Any]) -> None:
        overwrite = str(case.query.get("overwrite")).lower() == "true"
        there = name in self.versions
        response = self.call("putAction", case, actionName=name)
        if there:
            assert response.status_code == (200 if overwrite else 409) or response.status_code in (400, 413)
        if response.status_code == 200:
            self.versions[name] = response.json()["version"]

    @rule(name=names, case=OPERATIONS["getAction"].as_strategy())
    def get(self, name: str, case: Case[Any]) -> None:
        response = self.call("getAction", case, actionName=name)
        if response.status_code == 200:
            assert response.json()["name"] == name
        assert response.status_code == (200 if name in self.versions else 404) or response.status_code == 400

    @rule(target=ids, name=names, case=OPERATIONS["invokeAction"].as_strategy())
    def invoke(self, name: str, case: Case[Any]) -> Any:
        return self.post(name, case)

    def post(self, name: str, case: Case[Any]) -> Any:
        response = self.call("invokeAction", case, actionName=name)
        return response.headers.get("x-openwhisk-activation-id", ["0" * 32])[0]

    @rule(id=ids, case=OPERATIONS["getActivation"].as_strategy())
    def look_up(self, id: str, case: Case[Any]) -> None:
        response = self.call("getActivation", case, activationId=id)
        assert response.status_code == (404 if id == "0" * 32 else 200)

    @rule(id=ids, case=OPERATIONS["getActivationResult"].as_strategy())
    def look_up_result(self, id: str, case: Case[Any]) -> None:
        self.call("getActivationResult", case, activationId=id)

    @rule(name=consumes(names), case=OPERATIONS["deleteAction"].as_strategy())
    def delete(self, name: str, case: Case[Any]) -> None:
        status = self.call("deleteAction", case, actionName=name).status_code
        assert status == (200 if self.versions.pop(name, None) else 404)


def test_what_was_created_can_be_read_invoked_and_looked_up(url: str) -> None:
    Life.url, Life.reached = url, {}
    run_state_machine_as_test(Life, settings=settings(CALM, max_examples=30, stateful_step_count=20))
    for operation in ("putAction", "getAction", "invokeAction", "getActivation", "getActivationResult", "deleteAction"):
        assert 200 in Life.reached.get(operation, ()), f"{operation}: {Life.reached}"
