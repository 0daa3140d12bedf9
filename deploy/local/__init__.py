"""A real Kubernetes cluster on one Linux machine: built from source, no Docker, no registry."""
