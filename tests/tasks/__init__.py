"""Recording of processes: exact, never mixed with others, and bounded."""
