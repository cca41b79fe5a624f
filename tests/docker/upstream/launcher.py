"""The action's own process behind the stand-in `loop.py`, as a launcher of upstream's has it."""

import json
import os
import runpy
import sys

sys.path.insert(0, os.getcwd())
main = runpy.run_path("exec.py")[sys.argv[1]]
with open(int(os.environ["UPSTREAM_ANSWERS"]), "w") as answers:
    for line in sys.stdin:
        message = json.loads(line)
        for key, value in message.items():
            if key != "value":
                os.environ[f"__OW_{key.upper()}"] = value  # upstream's, too, cannot take what is no text
        try:
            answer = main(message["value"])
        except Exception as error:  # noqa: BLE001 - whatever the action raises
            print(error, file=sys.stderr)
            answer = {"error": str(error)}
        answers.write(json.dumps(answer, ensure_ascii=False) + "\n")
        answers.flush()
