"""recorder.containers, file by file."""
