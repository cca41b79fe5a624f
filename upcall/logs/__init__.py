"""Collection of activation logs (spec: logs.md)."""
