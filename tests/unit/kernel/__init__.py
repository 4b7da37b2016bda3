"""recorder.kernel, file by file."""
