"""The recorder on a node as an operator installs it: image, manifests, pods of every kind, faults, removal.

All tests share one cluster and one installation. `test_removal` takes it away, and is run last.
"""
