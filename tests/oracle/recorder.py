#!/usr/bin/env python3
"""Stands in for docker when the reference CLI runs `up`: writes down each argv, and has an image but no engine.

`run` fails on purpose: by then everything that the reference would tell docker is known.
"""

import json
import os
import sys
from pathlib import Path

arguments = sys.argv[1:]
with Path(os.environ["RECORDER_LOG"]).open("a", encoding="utf-8") as log:
    log.write(json.dumps(arguments) + "\n")

if arguments[:1] == ["inspect"]:
    image = {"Id": "sha256:0", "Architecture": "amd64", "Os": "linux"}
    config = {"User": "", "Env": [], "Labels": {}, "Entrypoint": None, "Cmd": ["/bin/sh"]}
    print(json.dumps([{**image, "Config": config}]))
elif arguments[:1] == ["run"]:
    sys.exit(1)
elif "version" in arguments or "-v" in arguments:
    print("26.1.5")
