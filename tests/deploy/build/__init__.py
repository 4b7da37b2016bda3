"""What these tests need and a machine has not: the image and its base, and the tools of newer Debians."""
