"""What the process of a service asks of the kernel and of the interpreter before it serves."""

import resource
import subprocess
import sys

PROGRAM = """
import logging, resource, sys
from recorder.cli.service_process import many_files, say_to_stderr

say_to_stderr("service")
many_files(int(sys.argv[1]), logging.getLogger())
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limited(soft, hard, wanted):
    """A process that begins with these bounds of open files: those it has then, and what it says."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(wanted)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
    )
    return tuple(map(int, done.stdout.split())), done.stderr


def test_it_takes_as_many_open_files_as_it_may_have():
    """A soft bound of 1,024 would end at that many agents."""
    assert limited(256, 2048, wanted=2000) == ((2048, 2048), "")


def test_it_says_when_these_are_too_few():
    """With both numbers, and what to raise."""
    limits, said = limited(256, 512, wanted=4416)
    assert limits == (512, 512)
    assert "512 open files" in said
    assert "4416" in said
    assert "LimitNOFILE" in said
