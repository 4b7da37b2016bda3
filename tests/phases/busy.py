"""Load on every CPU, so that what happens at the same time happens in another order."""

import contextlib
import os
import subprocess
from collections.abc import Iterator

BOUND = 120  # seconds after which it ends by itself, whatever becomes of the test


@contextlib.contextmanager
def busy_cpus() -> Iterator[None]:
    """One busy loop for each CPU."""
    with contextlib.ExitStack() as stack:
        for _ in range(os.cpu_count() or 1):
            loop = stack.enter_context(
                subprocess.Popen(["timeout", str(BOUND), "sh", "-c", "while :; do :; done"])
            )
            stack.callback(loop.terminate)  # timeout passes it on to the loop
        yield
