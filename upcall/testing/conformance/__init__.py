"""What upstream's controller expects of an Invoker, looked at from outside (docs/reference/conformance.md).

    python -m upcall.testing.conformance --kafka HOST:PORT --invoker 0 --store URL

A small controller with a name of its own reads `health` and its own `completed` topic, sends activations and probes to
one Invoker, and compares. It shares no message, codec or machine with the platform: JSON as the specification has it,
and Kafka's client directly, so that an error which both ends of ours share is seen. Only documents go through our own
stores. Each check has an id and a place in the specification; what cannot be seen from outside, or belongs to a part
that is not there yet, is listed with the reason (`elsewhere`).
"""
