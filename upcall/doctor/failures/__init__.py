"""All failures that the doctor knows: one table per part (spec: kubernetes.md §10)."""
