"""What containers use: only guests can attach to the kernel's security functions."""
