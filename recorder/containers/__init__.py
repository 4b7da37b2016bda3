"""Which container is that cgroup: the cgroup tree, and what runs in it."""
