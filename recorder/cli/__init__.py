"""The commands of `recorder`."""
