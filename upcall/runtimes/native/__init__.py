"""What runs inside a sandbox for native executables: forked by the Python runtime's zygote, served by its server."""
