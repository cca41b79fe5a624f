"""Containers of a Docker engine, by its API (docs/adr/0019-docker.md).

`options` is light; all the rest loads aiodocker, and is imported where an engine is used.
"""
