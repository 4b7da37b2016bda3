"""Version 1 of it. The *_pb2 files are generated (scripts/generate_stubs.py)."""
