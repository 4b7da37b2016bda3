"""What agents, collectors and clients say to each other: generated stubs, TLS, who the peer is."""
