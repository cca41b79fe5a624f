FROM odd/server:1
CMD ["python3", "/server.py", "fine:2.5"]
