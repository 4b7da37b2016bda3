"""The kernel's own answer for a loaded profile is the one of the rules and of the page; needs AppArmor."""

import contextlib
import random
import subprocess
import uuid
from collections.abc import Iterator

from recorder.model.access import File, FileRight
from recorder.profiles.apparmor_rules import apparmor_rules
from recorder.profiles.apparmor_text import to_text
from recorder.profiles.path_tree import Thresholds
from tests.guest.inside.accesses.kernel_answer import allows, allows_link
from tests.truth.asked_paths import MUTATIONS, asked_paths
from tests.truth.compiled_policy import Policy
from tests.truth.stated_paths import HOSTILE, as_text, stated, used_paths
from tests.unit.profiles.accessed import did, recorded
from tests.unit.profiles.patterns import Patterns


@contextlib.contextmanager
def _loaded(rules, **options) -> Iterator[tuple[bytes, str]]:
    """The name and the text of a profile, which the kernel has."""
    name = f"answers-{uuid.uuid4().hex[:8]}"
    text = to_text(rules, name, base=False, **options)
    command = ["apparmor_parser", "--skip-cache", "--quiet"]
    subprocess.run([*command, "--replace"], input=text.encode(), check=True, timeout=240)
    try:
        yield name.encode(), text
    finally:
        subprocess.run([*command, "--remove"], input=text.encode(), check=True, timeout=120)


def test_four_answers_agree(scaled):
    """The patterns', the page's, the compiled automaton's and the kernel's, for each path and each letter."""
    chance = random.Random(20261127)
    used = used_paths(chance, 60)
    rules = apparmor_rules([recorded(used)])
    patterns, said = Patterns(rules.paths), as_text(stated(used))
    count = scaled(1_000_000, 2_000)  # in a guest 10,000 are a hundredth
    allowed = 0
    with _loaded(rules) as (name, text):
        policy = Policy(text)
        assert [each for each in used if each.letters - allows(name, each.path)] == []
        for path in asked_paths(chance, used, count):
            answer = allows(name, path)
            others = patterns.allows(path), said.allows(path), policy.allows(path)
            assert answer == others[0] == others[1] == others[2], (path, answer, others)
            allowed += bool(answer)
    assert count / 20 < allowed < count / 2, allowed
    assert count > 20 * len(MUTATIONS)


def test_names_that_are_patterns_and_rules():
    """Each is itself in the kernel, and nothing else is allowed."""
    seen = [b"/in/a" + name + b"z" for name in HOSTILE] + [b"/end/" + name for name in HOSTILE]
    seen += [(b"/" + b"\xff*\\" * 84) * 15]
    rules = apparmor_rules([did(*((File(each), FileRight.READ) for each in seen))], Thresholds({b"/": 0}))
    with _loaded(rules) as (name, _):
        assert [each for each in seen if allows(name, each) != {"r"}] == []
        others = [b"/in/az", b"/in/abz", b"/in/a/z", b"/end/x", b"/end/", b"/", b"/etc/shadow"]
        others += [each + tail for each in seen for tail in (b"/", b"x", b"\\")]
        assert [each for each in others if each not in seen and allows(name, each)] == []


def test_hard_links_are_those_of_the_pairs():
    """Any name of the one pattern to any of the other, also names that are new, and to no other."""
    made = FileRight.LINK | FileRight.CREATE
    pairs = [(b"/srv/new-1234567", b"/srv/old.*"), (b"/srv/to", b"/srv/id-7654321"), (b'/q"\\', b"/p\n")]
    with _loaded(apparmor_rules([did(*((File(*pair), made) for pair in pairs))])) as (name, _):
        assert all(allows_link(name, *pair) for pair in pairs)
        assert allows_link(name, b"/srv/new-7777777", b"/srv/old.*")
        assert allows_link(name, b"/srv/to", b"/srv/id-9")
        for pair in (
            (b"/srv/to", b"/srv/old.*"),
            (b"/srv/new-1", b"/srv/old.x"),
            (b"/srv/old.*", b"/srv/new-1"),
        ):
            assert not allows_link(name, *pair), pair
