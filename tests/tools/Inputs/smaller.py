"""By how many bytes the weights of one artefact are fewer than those of another: smaller.py XF_DUMP BEFORE AFTER LEAST MOST."""

import json
import subprocess
import sys


def weights(path):
    run = subprocess.run([sys.argv[1], "--weights", "--json", path], stdout=subprocess.PIPE, check=True)
    return json.loads(run.stdout)["weights section"][0]["bytes"]


less = weights(sys.argv[2]) - weights(sys.argv[3])
print(less, "bytes less")
sys.exit(not int(sys.argv[4]) <= less <= int(sys.argv[5]))
