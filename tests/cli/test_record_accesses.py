"""`recorder record --kind accesses`: what is refused before anything is done."""

import pytest


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--loader", "bcc", "--", "true"), b"--loader bcc is not for --kind accesses"),
        (("--loader", "bcc", "--unit", "x.service"), b"--loader bcc is not for --kind accesses"),
        (("--pid", "1"), b"--pid is not for --kind accesses: they are seen by cgroup alone"),
    ],
)
def test_what_cannot_see_them_is_refused(recorder_cli, words, said):
    """It says what cannot be had together, and records nothing."""
    done = recorder_cli.run("record", "--kind", "accesses", *words)
    assert done.returncode == 125
    assert done.stderr.splitlines()[-1].startswith(b"recorder: USAGE: " + said)
