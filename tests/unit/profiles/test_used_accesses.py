"""What several records used together: the same whatever their order and parts, within bounds."""

from hypothesis import given
from hypothesis import strategies as st

from recorder.model.access import Socket, SocketRight
from recorder.model.accesses import Accesses
from recorder.profiles.apparmor_profile import shown
from recorder.profiles.apparmor_rules import UsedAccesses, apparmor_rules
from tests.unit.profiles.accessed import did, files

PATHS = st.sampled_from(["/etc/a", "/etc/b", "/srv/x/y", "/tmp/one", "/bin/sh"])
LETTERS = st.sampled_from(["r", "w", "rw", "rx", "rm", "c", "d"])
LINES = st.lists(st.tuples(LETTERS, PATHS), max_size=6)


def accesses(lines):
    return files("\n".join(f"{letters} {path}" for letters, path in lines)) if lines else Accesses()


def test_behind_each_rule_stands_in_how_many_records_it_was_used():
    """Two records of three; a record in two parts counts once."""
    used = UsedAccesses()
    used.add(files("r /etc/a"), 0)
    used.add(files("r /etc/b"), 0)
    used.add(files("r /etc/a"), 1)
    used.add(files("w /srv/c"), 2)
    rules = used.rules()
    assert rules.sources == 3
    assert {shown(rule.glob): rule.sources.bit_count() for rule in rules.paths} == {
        "/etc/a": 2,
        "/etc/b": 1,
        "/srv/c": 1,
    }


@given(st.lists(LINES, max_size=4), st.data())
def test_order_and_parts_change_nothing(records, data):
    """Each line by itself, in any order, gives what whole records give."""
    whole = apparmor_rules([accesses(each) for each in records])
    parts = [(n, line) for n, record in enumerate(records) for line in record]
    used = UsedAccesses()
    used.add(Accesses(), len(records) - 1) if records else None
    for n, line in data.draw(st.permutations(parts)):
        used.add(accesses([line]), n)
    assert used.rules() == whole


def test_what_no_file_is_is_never_lost_to_many_files():
    """A union over replicas may have more files than one record holds; sockets stay."""
    used = UsedAccesses()
    used.add(did((Socket(2, 1), SocketRight.CREATE)), 0)
    for n in range(3):
        text = "\n".join(f"r /srv/{n}/{number}/name" for number in range(7_000))
        used.add(files(text), n)
    rules = used.rules()
    assert not used.cut
    assert [(each.family, each.type) for each in rules.networks] == [("inet", "stream")]


def test_a_record_that_was_cut_makes_the_rules_say_so():
    """It lacks something, so they may lack it too."""
    used = UsedAccesses()
    used.add(Accesses({}, b"\xff" * 8), 0)
    assert used.cut
    assert used.rules().left_out == ("there were more accesses than a record holds: some have no rule",)
