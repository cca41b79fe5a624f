"""What a transfer says in the end."""

from upcall.transfer.report import Problem, Report, shown


def test_counts_by_kind_and_what_is_wrong() -> None:
    problems: list[Problem] = []
    seen: list[int] = []
    report = Report(problems.append, seen.append)
    report.count("action", "copied")
    report.count("action", "equal")
    report.count("limits", "replaced")
    assert report.whole
    report.problem("whisks", "guest/a\nb", "why")
    assert not report.whole
    assert list(map(str, problems)) == ["whisks guest/a\\nb: why"]
    assert seen == [1, 2, 3, 4]
    assert report.lines() == [
        "limits       1 replaced",
        "actions      1 copied, 1 there already",
        "problems     1, each named above",
    ]
    assert report.lines(dry=True)[:2] == [
        "limits       1 would be replaced",
        "actions      1 would be copied, 1 there already",
    ]


def test_what_is_different_is_not_whole() -> None:
    report = Report(lambda problem: None, lambda seen: None)
    assert report.lines() == ["There is nothing to copy."]
    report.count("rule", "different")
    assert not report.whole
    assert report.lines() == ["rules        1 there with other content, and left so"]


def test_long_ids_are_cut() -> None:
    assert shown("a" * 700) == "a" * 600 + "…"
