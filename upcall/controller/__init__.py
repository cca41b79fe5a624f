"""The Controller: REST API, load balancer, acknowledgements."""
