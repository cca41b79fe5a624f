"""Adapters of the Containers port."""
