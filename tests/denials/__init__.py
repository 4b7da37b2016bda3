"""Calls that a seccomp filter denied: which are found, and which are not."""
