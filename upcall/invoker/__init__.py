"""The Invoker: feed, pool, containers, answers, records."""
