"""Pure decisions: state, event and time in, commands out. No I/O, no clock, no randomness (docs/DESIGN.md)."""
