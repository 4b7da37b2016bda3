"""BPF objects: their spec, the loader, shared-memory views, the ring."""
