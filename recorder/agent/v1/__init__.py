"""Version 1 of what the agent keeps on its node. The *_pb2 files are generated (scripts/generate_stubs.py)."""
