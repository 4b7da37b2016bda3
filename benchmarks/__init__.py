"""What recording costs, measured: see README.md."""
