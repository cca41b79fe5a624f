from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import __main__ as frame
from bench import document, plot, report
from bench.report import Machine, Part, Result
from bench.row import Incomplete, Row

SVG = "{http://www.w3.org/2000/svg}"
ROWS = [
    Row("warm", "one <side>, c=10: rate", "/s", [9000.0, 8000.0, 10_000.0]),
    Row("warm", "one <side>, c=10: p50", "ms", [0.9]),
    Row("warm", "one <side>, c=10: p99", "ms", [2.0]),
    Row("warm", "one <side>, c=10: CPU of the platform", "µs", [50.0, 60.0, 56.0], 55.0),
    Row("warm", "one <side>, c=10: CPU of what answers", "µs", [39.0]),
    Row("warm", "one <side>, c=10: CPU of the client", "µs", [5.0]),
    Row("warm", "through / direct", "ratio", [0.5], 0.45, "more", "a note"),
]


@pytest.fixture
def result() -> Result:
    machine = Machine("3.11.2", True, "6.18", 2, 24.0, 0)
    return Result("2026-11-23 20:00", True, machine, [Part("warm", 12.3, (0.5, 2.5), "RuntimeError: no")], list(ROWS))


def test_a_row_knows_its_extremes_and_whether_it_is_good_enough() -> None:
    row = ROWS[3]
    assert (row.least, row.median, row.most, row.met) == (50.0, 56.0, 60.0, False)
    assert [Row("a", "b", "c", [x], 1.0, "more").met for x in (0.9, 1.0, 1.1)] == [False, True, True]
    assert [Row("a", "b", "c", [x], 1.0).met for x in (0.9, 1.0, 1.1)] == [True, True, False]
    assert ROWS[0].met is None
    with pytest.raises(ValueError, match="nothing was measured: a, b"):
        Row("a", "b", "c", [])


def test_debians_python_counts_as_built_with_profiles() -> None:
    assert report.optimised("'--enable-optimizations' '--with-lto'", ("posix_prefix",))
    assert report.optimised("'--enable-shared'", ("deb_system", "posix_prefix"))
    assert not report.optimised("'--enable-shared'", ("posix_prefix",))


def test_a_result_is_read_as_it_was_written(result: Result, tmp_path: Path) -> None:
    report.write(result, tmp_path / "made" / "bench.json")
    assert report.read(tmp_path / "made" / "bench.json") == result
    assert '"median": 56.0' in (tmp_path / "made" / "bench.json").read_text()


def test_the_table_has_each_row_and_the_targets_again(result: Result) -> None:
    lines = list(report.table(result))
    assert lines[0].startswith("2026-11-23 20:00 UTC, quick, 2 cores, 24 GiB, Linux 6.18, Python 3.11.2 built with")
    assert "warm: 12 s, load 0.5 to 2.5" in lines
    assert "  FAILED: RuntimeError: no" in lines
    assert "targets: 1 of 2 met" in lines
    assert [line.split()[-6:] for line in lines if "MISSED" in line] == [
        ["50.0", "56.0", "60.0", "≤", "55", "MISSED"]
    ] * 2
    assert next(line.split()[-5:] for line in lines if " met " in line) == ["≥", "0.45", "met", "a", "note"]
    assert sum("8,000" in line and "9,000" in line and "10,000" in line for line in lines) == 1


def test_the_plot_has_a_bar_for_each_row_and_a_mark_for_each_target(result: Result) -> None:
    drawn = ElementTree.fromstring(plot.svg(result))
    bars = drawn.findall(f"{SVG}rect")[1:]
    texts = [text.text for text in drawn.findall(f"{SVG}text")]
    assert len(bars) == len(ROWS)
    assert len([line for line in drawn.findall(f"{SVG}line") if line.get("stroke-width") == "2"]) == 2
    assert "one <side>, c=10" in texts
    assert texts.count("warm, rate, /s") == 1
    assert [bar.get("width") for bar in bars if bar.get("fill") == "#cf6a4c"] == ["280.0"]


def test_the_document_gets_the_results_between_its_marks(result: Result, tmp_path: Path) -> None:
    path = tmp_path / "performance.md"
    path.write_text(f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n")
    document.replace(path, result)
    document.replace(path, result)
    text = path.read_text()
    assert text.startswith(f"before\n{document.BEGIN}\n\n2026")
    assert text.endswith(f"\n{document.END}\nafter\n")
    assert "old" not in text
    assert "| one <side>, c=10: CPU of the platform | ≤ 55 µs | 56.0 | 50.0 to 60.0 | **missed** |" in text
    assert "| one <side>, c=10 | 9,000 | 0.900 | 2.00 | 56.0 | 39.0 | 5.00 |" in text
    assert "| through / direct | 0.500 | 0.500 to 0.500 | ratio | a note |" in text
    assert text.count("CPU of the platform |") == 1
    assert "\n**Failed**: RuntimeError: no. What was measured before:\n" in text
    path.write_text("nothing\n")
    with pytest.raises(ValueError, match="has no place for results"):
        document.replace(path, result)


def test_a_document_without_results_is_refused_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["bench", "--document"])
    with pytest.raises(SystemExit, match=r"bench: there is no .*/bench\.json: scripts/bench makes it"):
        frame.main()


def test_the_marks_are_in_the_document() -> None:
    text = frame.DOCUMENT.read_text()
    assert text.index(document.BEGIN) < text.index(document.END)


def test_a_part_that_fails_is_told_and_the_others_are_kept(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    async def measured(name: str, quick: bool, rounds: int) -> list[Row]:
        if name == "cold":
            raise RuntimeError("no sandbox\nfor you")
        if name == "density":
            raise Incomplete(ROWS[1:2], ["ValueError: a", "KeyError: b"])
        return ROWS[:1]

    monkeypatch.setattr(frame, "measured", measured)
    found = report.new(True)
    for name in ("cold", "life", "density"):
        frame.run(name, found, 0)
    assert [part.error for part in found.parts] == ["RuntimeError: no sandbox", "", "ValueError: a; KeyError: b"]
    assert found.rows == ROWS[:2]
