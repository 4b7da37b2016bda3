"""Kubernetes: recordings watched, pods confirmed, profiles applied, tokens reviewed."""
