"""What a profile's text includes, as apparmor_parser's preprocessor finds it; and the bounds."""

import subprocess
from pathlib import Path

import pytest

from recorder.cli.apparmor_folder import ApparmorFolder
from recorder.profiles import apparmor_source
from recorder.profiles.apparmor_source import profile_source

TEXT = """include <tunables/one>
@{{own}} = /a "/b c"  # two
profile p {{
  /first r,
  include <{name}>
  /last r,
}}
"""


@pytest.fixture
def base(tmp_path):
    (tmp_path / "tunables").mkdir()
    (tmp_path / "tunables/one").write_text("@{seven}=7 77\n@{seven}+=777\n")
    return tmp_path


def read(base, name, text=TEXT):
    return profile_source(text.format(name=name), ApparmorFolder(base))


def rules_of_the_parser(base, text):
    """Its own expansion, in which nothing is included any more."""
    command = ["apparmor_parser", "--preprocess", "--base", str(base)]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=True, timeout=60)
    assert not any(line.strip().startswith(b"include") for line in done.stdout.splitlines())
    return profile_source(done.stdout.decode(), None)


def test_what_the_parser_includes_is_included(base):
    """Files, folders less what editors and packages leave, nested ones, absolute paths, both spellings."""
    folder = base / "many"
    (folder / "below").mkdir(parents=True)
    for name in ("b", "a", "a~", ".hidden", "c.dpkg-old", "c.rpmsave", "d.orig", "README", "below/e"):
        (folder / name).write_text(f"/many/{name} r,\n")
    (base / "absolute").write_text("/absolute r,\n")
    (base / "nested").write_text(
        f'#include <many>\n# include <no comment is one>\n#include "{base}/absolute"\n'
        "include if exists <missing>\n  /n r, #include if exists <many/a>\nnetwork inet,\n"
    )
    ours = read(base, "nested")
    theirs = rules_of_the_parser(base, TEXT.format(name="nested"))
    assert set(ours.rules) == set(theirs.rules)  # a folder's are in its own order there
    assert ours.rules == (
        *("/first r", "/many/a r", "/many/b r", "/absolute r", "/n r", "network inet", "/last r"),
    )
    assert ours.variables == theirs.variables == {"seven": ("7", "77", "777"), "own": ("/a", "/b c")}
    assert ours.problems == ()


@pytest.mark.parametrize("name", ["base", "nameservice", "python", "gnome", "apache2-common"])
def test_the_abstractions_of_this_machine(name):
    """All rules, and the variables of its tunables."""
    text = f"include <tunables/global>\nprofile p {{\n  include <abstractions/{name}>\n}}\n"
    ours = profile_source(text, ApparmorFolder(Path("/etc/apparmor.d")))
    theirs = rules_of_the_parser("/etc/apparmor.d", text)
    assert set(ours.rules) == set(theirs.rules)
    assert len(ours.rules) > 10
    assert ours.variables == theirs.variables
    assert ours.problems == ()


def test_a_loop_ends(base):
    """apparmor_parser refuses it; here each file is read once."""
    (base / "x").write_text("/x r,\ninclude <y>\n")
    (base / "y").write_text("/y r,\ninclude <x>\n")
    assert read(base, "x").rules == ("/first r", "/x r", "/y r", "/last r")


def test_what_is_not_read_is_named(base):
    """Missing, unreadable, relative, a pipe; and all of it if nothing is read at all."""
    (base / "x").write_text('include <missing>\ninclude "relative"\ninclude <pipe>\n/x r,\n')
    subprocess.run(["mkfifo", base / "pipe"], check=True, timeout=60)
    found = read(base, "x")
    assert found.rules == ("/first r", "/x r", "/last r")
    assert found.problems == (
        "include <missing>: there is no such file",
        'include "relative": neither in <> nor an absolute path',
        "include <pipe>: neither a file nor a folder",
    )
    without = profile_source(TEXT.format(name="x"), None)
    assert without.rules == ("/first r", "/last r")
    assert [each.split(":")[0] for each in without.problems] == ["include <tunables/one>", "include <x>"]


def test_bounds(base, monkeypatch):
    """Depth, files, bytes, statements: what is beyond is not read, and is said once."""
    for n in range(9):
        (base / f"{n}").write_text(f"/{n} r,\ninclude if exists <{n + 1}>\n")
    (base / "wide").mkdir()
    for n in range(5):
        (base / f"wide/{n}").write_text(f"/wide/{n} r,\n")
    monkeypatch.setattr(apparmor_source, "MAX_DEPTH", 4)
    deep = read(base, "0")
    assert deep.rules == ("/first r", "/0 r", "/1 r", "/2 r", "/3 r", "/last r")
    assert deep.problems == ("include <4>: more than 4 includes within each other",)
    monkeypatch.setattr(apparmor_source, "MAX_FILES", 4)
    wide = read(base, "wide")
    assert wide.rules == ("/first r", "/wide/0 r", "/wide/1 r", "/last r")
    assert len(wide.problems) == 3
    monkeypatch.setattr(apparmor_source, "MAX_BYTES", 38)
    large = read(base, "wide/0")
    assert large.rules == ("/first r", "/last r")
    assert large.problems == ("include <wide/0>: more than 10 bytes are left to be read",)
    monkeypatch.setattr(apparmor_source, "MAX_STATEMENTS", 3)
    assert read(base, "missing").rules == ()


def test_rules_of_other_blocks_are_none(base):
    """Hats, children, conditions and other profiles of an included file allow the profile nothing."""
    (base / "x").write_text("profile other {\n  /other r,\n}\n/x r,\n}\n/behind r,\n")
    text = TEXT.replace("/first r,", "/first r,\n  ^hat {\n    /hat r,\n    include <missing>\n  }\n")
    found = read(base, "x", text.replace("^hat {", "^hat {{").replace("  }\n", "  }}\n"))
    assert found.rules == ("/first r", "/x r", "/last r")
    assert found.problems == ()


def test_commas_braces_and_comments_within_rules(base):
    """A rule ends where the parser's lexer ends it."""
    text = """profile p flags=(complain,attach_disconnected) {
  /{usr/,}bin/{a,b{1,2}} r,  # a comment, with a comma
  "/with space, and comma" rw, /same/line r,
  signal (send, receive) set=(hup, term)
    peer=other,
  /no#comment r,
  /comma,within r,
  deny /x w,# behind
}
"""
    found = profile_source(text, None)
    assert found.rules == (
        "/{usr/,}bin/{a,b{1,2}} r",
        '"/with space, and comma" rw',
        "/same/line r",
        "signal (send, receive) set=(hup, term)\n    peer=other",
        "/no#comment r",
        "/comma,within r",
        "deny /x w",
    )
