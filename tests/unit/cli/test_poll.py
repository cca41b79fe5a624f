"""What a poll has seen: nothing twice, nothing lost that ends late."""

from typing import Any

from upcall.cli.client import Answer, Client
from upcall.cli.poll import LONGEST, PAGE, Watch
from upcall.cli.properties import Properties, Value

KNOWN = Properties({"apihost": Value("http://localhost", ""), "auth": Value("a:b", "")}, ())


class Records(Client):
    """A client of a server that has `starts`: the time of the start by id."""

    def __init__(self) -> None:
        super().__init__(KNOWN, lambda text: None)
        self.starts: dict[str, int] = {}
        self.asked: list[Any] = []

    def ask(self, method: str, *segments: str, query: Any = None, body: Any = None, name: str = "") -> Answer:
        if len(segments) == 3:
            document: Any = {"activationId": segments[2]}
        else:
            self.asked.append(query)
            rows = sorted(self.starts.items(), key=lambda row: -row[1])
            rows = [row for row in rows if row[1] >= query["since"]]
            rows = rows[query["skip"] : query["skip"] + query["limit"]]
            document = [{"activationId": id_, "start": start} for id_, start in rows]
        return Answer(200, "OK", {}, "", document)


def look(watch: Watch) -> list[str]:
    return [record["activationId"] for record in watch.look()]


def test_what_is_there_already_is_old() -> None:
    server = Records()
    server.starts = {"a": 1000, "b": 2000}
    watch = Watch(server, "_", None, None)
    assert look(watch) == []
    server.starts |= {"d": 4000, "c": 3000}
    assert look(watch) == ["c", "d"]
    assert look(watch) == []


def test_one_that_began_early_and_ended_late_is_shown() -> None:
    server = Records()
    watch = Watch(server, "_", None, 0)
    server.starts["quick"] = 400_000
    assert look(watch) == ["quick"]
    server.starts["long"] = 400_000 - LONGEST
    assert look(watch) == ["long"]
    assert look(watch) == []


def test_looks_do_not_go_back_to_the_beginning_for_ever() -> None:
    server = Records()
    server.starts = {"a": 10}
    watch = Watch(server, "_", None, 0)
    assert look(watch) == ["a"]
    server.starts["b"] = 10 + 2 * LONGEST
    assert look(watch) == ["b"]
    assert look(watch) == []
    assert server.asked[-1]["since"] == 10 + LONGEST


def test_more_than_a_page() -> None:
    server = Records()
    watch = Watch(server, "_", "hello", 0)
    server.starts = {f"{number:03}": number for number in range(2 * PAGE + 1)}
    assert look(watch) == sorted(server.starts)
    assert server.asked[-1]["name"] == "hello"
