"""What is wrong with a host, a cluster or a deployment, in words that name cause and fix (spec: kubernetes.md §9–§12)."""
