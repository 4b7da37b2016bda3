"""Version 1 of the record's messages. The *_pb2 files are generated (scripts/generate_stubs.py)."""
