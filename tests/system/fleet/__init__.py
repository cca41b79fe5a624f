"""Controllers and Invokers as processes of their own, broker and database, under load while all of it is killed.

    world:    broker, database, and the processes of the fleet     schedule: what happens when, from a seed
    member:   one place in the fleet, and the lives in it          deeds:    the faults
    evidence: what topics, groups and the database hold            verdict:  what has to be true in the end
    trial:    all of it together

Clients, actions and the counting of runs are those of `tests.system.chaos`. Nothing that is judged by comes from the
platform's own bookkeeping: topics are read from their beginning, records from the database's table.

`python -m tests.system.fleet --minutes 10 --seed 7` runs one by hand.
"""
