"""Agents and their streams: who they are, what they report, what they are asked."""
