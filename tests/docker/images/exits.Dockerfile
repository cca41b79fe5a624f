FROM odd/server:1
CMD ["python3", "/server.py", "exits"]
