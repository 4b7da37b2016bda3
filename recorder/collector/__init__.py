"""The cluster's service: takes records from agents, and publishes them as profiles."""
