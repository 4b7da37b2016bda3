"""The Container Runtime Interface as it is on the wire."""
