"""Version 1 of the services. The *_pb2 files are generated (scripts/generate_stubs.py)."""
