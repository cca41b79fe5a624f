"""Whole platforms from one store to another: `upcall import`, `upcall export`."""
