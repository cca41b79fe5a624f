FROM odd/server:1
USER 65534
