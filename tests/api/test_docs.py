"""The API's description: where it is, that it is valid, that it describes what there is (system-tests.md §5)."""

from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV2SpecValidator

from tests.api.client import Api
from tests.api.contract import check, described, document
from upcall.controller import http

METHODS = ("get", "put", "post", "delete")


@pytest.mark.parametrize("base", ["", "/api/v1"])
async def test_docs_lead_to_a_page_and_a_document(base: str) -> None:
    api = Api()
    moved = await api("GET", f"{base}/docs", user=None)
    assert (moved.status, moved.headers["location"]) == (308, f"{base}/docs/index.html?url={base}/api-docs")
    assert moved.headers["access-control-allow-origin"] == "*"
    page = await api("GET", moved.headers["location"], user=None)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=UTF-8")
    assert b"<title>Swagger UI</title>" in page.body
    assert b"/api/v1/namespaces/{namespace}/actions/{actionName}" in page.body
    assert b'<a href="../api-docs">' in page.body
    assert "script" not in page.headers["content-security-policy"]
    served = await api("GET", f"{base}/api-docs", user=None)
    assert (served.status, served.headers["content-type"]) == (200, "application/json")
    assert served.headers["access-control-allow-origin"] == "*"
    assert served.json == document()
    assert (await api("POST", f"{base}/api-docs", user=None)).status == 405


def test_the_document_is_valid() -> None:
    OpenAPIV2SpecValidator(document()).validate()


def test_clients_find_the_definitions_that_they_look_for() -> None:
    wanted = {"Action", "ActionMeta", "ActionExecMeta", "RuleMeta", "TriggerMeta", "Activation", "ActivationBrief"}
    assert wanted <= document()["definitions"].keys()
    for name, schema in document()["definitions"].items():
        assert schema.get("additionalProperties") is False or name.endswith("Put"), name


def test_every_route_is_described() -> None:
    shown = {"/docs", "/docs/index.html", "/api-docs", "/api/v1/", "/api/v1/docs", "/api/v1/docs/index.html"}
    for path in {*http.ADMIN, *http.API_OPEN} - shown:
        assert described("GET", path), path
    for path in http.COLLECTIONS:
        assert described("GET", f"/api/v1/namespaces{path}"), path
    inner = {"/{namespace}/limits/{name}", "/{namespace}/activations/{name}/"}
    for path, handlers in http.ENTITIES.items():
        for method in handlers if path not in inner else ():
            assert described(method, f"/api/v1/namespaces{path}"), path
    assert described("POST", "/api/v1/namespaces/_/actions/x")


def test_every_reference_and_link_leads_somewhere() -> None:
    operations = {
        operation["operationId"]
        for item in document()["paths"].values()
        for method, operation in item.items()
        if method in METHODS
    }
    found: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                assert node["$ref"].removeprefix("#/definitions/") in document()["definitions"]
            for link in node.get("x-links", {}).values():
                found.append(link["operationId"])
            node = list(node.values())
        for child in node if isinstance(node, list) else ():
            walk(child)

    walk(document()["paths"])
    assert set(found) <= operations
    assert {"invokeAction", "getActivation", "getActivationLogs"} <= set(found)


def test_the_check_of_answers_finds_a_member_too_many() -> None:
    check("GET", "/api/v1/namespaces/_/activations/x/logs", 200, "application/json", b'{"logs":[]}')
    with pytest.raises(jsonschema.ValidationError, match="Additional properties"):
        check("GET", "/api/v1/namespaces/_/activations/x/logs", 200, "application/json", b'{"logs":[],"more":1}')
    with pytest.raises(AssertionError, match="not described"):
        check("GET", "/api/v1/namespaces/_/activations/x/logs", 418, "application/json", b"{}")
