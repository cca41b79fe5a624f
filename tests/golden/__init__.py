"""The golden table: each way that an activation can end, for each kind of caller, with what must come of it – every
acknowledgement and the record as CouchDB holds it.

`base.json` and `cases/*.json` are written from the spec by hand, never from what this platform said; each case names
its page. `table.py` puts them together, `world.py` runs one through a real Invoker.
"""
