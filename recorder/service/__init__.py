"""What the agent and the collector both stand on: settings, pages for machines, the process itself."""
