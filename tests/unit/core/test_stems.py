"""What the setting `prewarm` means."""

import pytest

from upcall.core.prewarm import Reactive, StemCell
from upcall.core.stems import Wish, manifest_cells, parse_prewarm, stem_cells
from upcall.errors import Misconfigured
from upcall.model.runtimes import parse_manifest

KINDS = ("python:3", "python:3.11", "nodejs:20")


def test_the_setting_says_kind_count_and_memory() -> None:
    assert parse_prewarm("nodejs:20=2, python:3=1/512m") == (Wish("nodejs:20", 2, None), Wish("python:3", 1, 512))
    assert parse_prewarm("none") == ()
    assert parse_prewarm("") is None


@pytest.mark.parametrize(
    "text", ["nodejs:20", "=2", "nodejs:20=", "nodejs:20=-1", "nodejs:20=2/", "nodejs:20=1,,", ","]
)
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"KIND=COUNT|whole number|size|MB"):
        parse_prewarm(text)


def test_by_default_there_is_one_of_node_where_there_is_room() -> None:
    (cell,) = stem_cells(None, KINDS, 1024, 256)
    assert (cell.kind, cell.memory, cell.count) == ("nodejs:20", 256, 1)
    assert cell.reactive is not None
    assert cell.reactive.least == 1 < cell.reactive.most
    assert stem_cells(None, KINDS, 1023, 256) == ()
    assert stem_cells(None, KINDS, 1500, 1024) == ()
    assert stem_cells(None, KINDS[:2], 4096, 256) == ()


def test_wishes_become_cells_that_stay() -> None:
    wishes = [Wish("python:3", 1, None), Wish("nodejs:20", 2, 512), Wish("python:3.11", 0, None)]
    assert stem_cells(wishes, KINDS, 2048, 256) == (StemCell("python:3", 256, 1), StemCell("nodejs:20", 512, 2))
    assert stem_cells([], KINDS, 2048, 256) == ()


def test_wishes_that_cannot_be_had_are_refused_with_what_can() -> None:
    with pytest.raises(Misconfigured, match=r"nodejs:18 does not run here; these do: python:3, python:3.11, nodejs:20"):
        stem_cells([Wish("nodejs:18", 1, None)], KINDS, 4096, 256)
    with pytest.raises(Misconfigured, match=r"1024 MB are asked for, and all actions together have 1000 MB"):
        stem_cells([Wish("nodejs:20", 4, None)], KINDS, 1000, 256)


def a_manifest(cells: str) -> str:
    return f'{{"runtimes":{{"nodejs":[{{"kind":"nodejs:20","image":{{"name":"n"}},"stemCells":[{cells}]}}]}}}}'


def test_a_manifest_says_for_itself_what_is_wanted() -> None:
    plain = '{"initialCount":2,"memory":"256 MB"}'
    ttl = '{"minCount":1,"maxCount":4,"ttl":"2 minutes","threshold":1,"increment":2}'
    cells = manifest_cells(parse_manifest(a_manifest(f'{plain},{{"count":1,"memory":"512 MB","reactive":{ttl}}}')))
    assert cells == (
        StemCell("nodejs:20", 256, 2),
        StemCell("nodejs:20", 512, 1, Reactive(1, 4, 120.0, 1, 2)),
    )


@pytest.mark.parametrize("ttl", ["soon", "0 s"])
def test_a_time_that_is_none_is_told_with_its_kind(ttl: str) -> None:
    reactive = f'{{"minCount":1,"maxCount":4,"ttl":"{ttl}","threshold":1,"increment":2}}'
    manifest = parse_manifest(a_manifest(f'{{"count":1,"memory":"512 MB","reactive":{reactive}}}'))
    with pytest.raises(Misconfigured, match=rf"stemCells of nodejs:20: ttl: .*'{ttl}'"):
        manifest_cells(manifest)
