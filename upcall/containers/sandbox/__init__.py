"""The process driver's parts: outer sandbox, zygote, cgroups, networks, guardian (docs/adr/0002-sandbox.md)."""
