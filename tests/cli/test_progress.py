"""What a running capture shows of each container."""

from dataclasses import replace

from recorder.cli.live_lines import line
from recorder.cli.live_table import cells, duration
from recorder.cli.progress import Call, Progress, listed
from recorder.model.abi import Abi
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Outcome, Phase, Pod, Record
from tests.cli.fake_agent import observation


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_time_since_the_last_new_call_goes_on_by_itself():
    """It begins with the container, and again with each new call; another state does not matter."""
    clock = Clock()
    progress = Progress(clock)
    progress.update(Record((observation([0]),)))
    clock.now = 5
    progress.update(Record((observation([0], losses={"ring_full": 1}),)))
    assert [row.quiet for row in progress.rows()] == [5]
    progress.update(Record((observation([0, 1]),)))
    clock.now = 12
    assert [row.quiet for row in progress.rows()] == [7]


def test_only_what_changed_is_returned():
    """A new container, new calls, another verdict, the end; not what was said before."""
    progress = Progress()
    one, two = observation([0], cgroup=1), observation([1], cgroup=2)
    assert len(progress.update(Record((one,)))) == 1
    assert [row.calls for row in progress.update(Record((one, two)))] == [1]
    assert progress.update(Record((one, two))) == []
    assert [row.ledger for row in progress.update(Record((replace(one, ended=True), two)))] == ["complete"]
    assert [row.new for row in progress.update(Record((one, observation([1, 2], cgroup=2))))][-1] == (
        Call("open", "web"),
    )


def test_newest_calls_come_first():
    """By the time of their first sight; one whose time was lost is as new as the snapshot that has it."""
    progress = Progress()
    seen = observation([0, 1, 2])
    lost = replace(
        seen, first_sights={key: sight for key, sight in seen.first_sights.items() if key.number != 1}
    )
    (row,) = progress.update(Record((lost,)))
    assert row.newest == (Call("write", ""), Call("open", "web"), Call("read", "web"))
    (row,) = progress.update(Record((observation([0, 1, 2, 3, 4]),)))
    assert [call.name for call in row.newest] == ["stat", "close", "write", "open"]


def test_set_up_and_workload_are_counted_apart():
    """Set-up is not in the result, and is not new."""
    setup = CallKey(Abi.X86_64, Phase.SETUP, Outcome.ALLOWED)
    seen = observation([0])
    seen = replace(seen, calls={**seen.calls, setup: Numbers.of([5, 6, 7])})
    (row,) = Progress().update(Record((seen,)))
    assert (row.calls, row.setup, [call.name for call in row.new]) == (1, 3, ["read"])


def test_calls_of_another_abi_say_so():
    """As in the format `names`."""
    compat = CallKey(Abi.I386, Phase.WORKLOAD, Outcome.ALLOWED)
    (row,) = Progress().update(Record((replace(observation([0]), calls={compat: Numbers.of([102])}),)))
    assert row.new == (Call("i386:socketcall", ""),)


def test_neighbours_share_their_comm():
    calls = [Call("read", "a"), Call("write", "a"), Call("open", ""), Call("close", "b")]
    assert listed(calls) == "read, write (a), open, close (b)"


def test_a_line_says_what_is_new():
    """A long list is cut, with its length."""
    (row,) = Progress().update(Record((observation(range(20), pod=Pod("shop", "web-1")),)))
    assert line(row).startswith("shop/web-1/web: 20 calls, new: readv, pwrite64, ")
    assert line(row).endswith(" (web) and 12 more")


def test_cells_of_the_table():
    (row,) = Progress().update(Record((observation([0]),)))
    assert cells(row) == ("shop/web-1/web", "1", "0", "read (web)", "0 s ago", "complete")


def test_durations_are_readable():
    assert [duration(each) for each in (0.9, 59, 60, 3599, 3600, 90_000)] == [
        *("0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "25 h 0 min"),
    ]
