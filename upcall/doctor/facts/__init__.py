"""What was read: of a host, of a cluster, of a deployment. Facts are data that can be kept as JSON and read again."""
