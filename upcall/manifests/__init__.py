"""What Kubernetes is asked for: manifests of Invokers, and of the whole platform."""
