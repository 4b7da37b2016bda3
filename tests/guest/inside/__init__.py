"""Tests that run in a guest, since they need what only a guest has: systemd as process 1."""
