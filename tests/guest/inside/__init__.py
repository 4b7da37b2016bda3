"""Tests that run in a guest, since they need what only a guest has: systemd as process 1."""

SECONDS = 300.0
"""Until what a test waits for has failed: a guest may get a fifth of a processor for a while."""
