"""Emitted profiles, enforced by the kernel in real containers."""
