"""A round's own clock: phases as they begin, first answers as they come, the latest kept."""

from flwr.app import RecordDict

from server.exchange import Replies
from server.timeline import SLOWEST, Timeline


def test_phases_and_first_answers_are_noted_and_everything_is_passed_on() -> None:
    seen: list[tuple[str, int]] = []
    line = Timeline(lambda phase, cohort, _: not seen.append((phase, cohort)))
    replies = Replies()
    assert line.show("training", 3, replies)
    replies.contents["ibis"] = RecordDict()
    assert line.show("training", 3, replies)
    first = line.answered["ibis"]
    replies.refusals["jay"] = "battery"
    line.show("unmasking", 3, replies)
    assert seen == [("training", 3), ("training", 3), ("unmasking", 3)]
    assert [phase.name for phase in line.phases] == ["training", "unmasking"]
    assert line.answered["ibis"] == first <= line.answered["jay"]


def test_what_was_decided_is_returned() -> None:
    assert Timeline(lambda *_: False).show("training", 1, Replies()) is False


def test_of_many_answers_the_latest_are_kept() -> None:
    line = Timeline(lambda *_: True)
    replies = Replies()
    for number in range(SLOWEST + 50):
        replies.contents[f"d{number:04}"] = RecordDict()
    line.show("training", 300, replies)
    assert len(line.answered) == SLOWEST
