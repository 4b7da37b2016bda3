"""Two folders as the platform: recordings in one, results in the other."""
