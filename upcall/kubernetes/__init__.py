"""The API of Kubernetes, for whoever needs it; loaded only there."""
