"""Tests on a real Docker engine."""

from tests.system.engine import engine, inside

__all__ = ["engine", "inside"]
