import pytest
from msgspec import Raw

from upcall.store.coding import next_rev, record_name


@pytest.mark.parametrize(
    ("annotations", "name"),
    [
        (b"[]", "hello"),
        (b'[{"key":"path","value":"guest/hello"}]', "hello"),
        (b'[{"key":"path","value":"guest/pkg/hello"}]', "pkg/hello"),
        (b'[{"key":"waitTime","value":1},{"key":"path","value":"guest/pkg/hello"}]', "pkg/hello"),
        (b'[{"key":"path","value":"guest/pkg/hello"},{"key":"waitTime","value":1}]', "pkg/hello"),
        (b'[{"key":"path","value":"guest/pkg/hello"},{"key":"waitTime","value":22}]', "pkg/hello"),
        (b'[{"key":"path","value":"p/pkg/hello"},{"key":"binding","value":"guest/mine"}]', "mine/hello"),
        (
            b'[{"key":"path","value":"p/pkg/hello"},{"key":"waitTime","value":1},{"key":"binding","value":"guest/mine"}]',
            "mine/hello",
        ),
        (b'[{"key":"path","value":7},{"value":null,"key":"binding"}]', "hello"),
        (b'[{"key":"note","value":{"key":"path","value":"a/b/c"}}]', "hello"),
    ],
)
def test_the_name_that_lists_filter_by(annotations: bytes, name: str) -> None:
    for _ in range(2):
        assert record_name("hello", Raw(annotations)) == name


@pytest.mark.parametrize(
    ("after", "name"),
    [
        (b'{"key":"binding","value":"guest/mine"}', "mine/hello"),
        (b'{"key":"path","value":"guest/other/hello"}', "other/hello"),
        (b'{"key":"initTime","value":3}', "pkg/hello"),
    ],
)
def test_what_the_last_record_was_called_is_no_reason_to_overlook_anything(after: bytes, name: str) -> None:
    begin = b'[{"key":"path","value":"p/pkg/hello"},{"key":"waitTime","value":1}'
    for _ in range(2):
        assert record_name("hello", Raw(begin + b"]")) == "pkg/hello"
        assert record_name("hello", Raw(begin + b"," + after + b"]")) == name


def test_revisions_count_and_never_come_again() -> None:
    first = next_rev(None)
    assert first.startswith("1-")
    assert first != next_rev(None)
    assert next_rev("41-00ff").startswith("42-")
