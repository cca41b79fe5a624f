FROM odd/server:1
RUN ["python3", "-c", "import os; os.remove('/bin/dash'); os.remove('/bin/sh')"]
