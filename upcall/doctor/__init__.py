"""What is wrong with a host, a cluster or a deployment: cause and fix, in words (spec: kubernetes.md §9–§12)."""
