FROM odd/server:1
CMD ["/no/such/program"]
