"""What answers over HTTP in any role: error bodies, transaction ids, metrics, the operator's routes."""
