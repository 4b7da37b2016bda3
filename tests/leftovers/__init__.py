"""Nothing is left, however a recording ends; what is pinned is adopted or removed."""
