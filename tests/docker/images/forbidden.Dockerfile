FROM odd/server:1
CMD ["/etc/passwd"]
