"""Containers as pods of Kubernetes (spec: kubernetes.md §6)."""
