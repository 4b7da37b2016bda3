"""What an operator installs: the image, the manifests, the rules for alerts. No test here needs a cluster."""
