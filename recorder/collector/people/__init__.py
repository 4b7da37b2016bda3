"""People who read records: who they are, what they may see."""
