"""A platform under load while everything that it needs is killed, stopped, filled up and taken away.

    schedule: what happens when, from a seed        load: clients, and what they were told
    stage:    the host that the platform sees       deeds: the faults
    verdict:  what has to be true in the end        trial: all of it together

`python -m tests.system.chaos --minutes 10 --seed 7` runs one by hand; with `--driver docker` actions run in containers
of an engine of its own (`docker_…`), which is killed, stopped, hung and meddled with, too.
"""
