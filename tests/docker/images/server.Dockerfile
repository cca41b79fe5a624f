FROM base/python:3
COPY server.py /server.py
CMD ["python3", "/server.py"]
