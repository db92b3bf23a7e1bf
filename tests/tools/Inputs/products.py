"""How many matrix products a model has, by its plan: products.py XF_DUMP MODEL.so."""

import subprocess
import sys

plan = subprocess.run([sys.argv[1], "--plan", sys.argv[2]], stdout=subprocess.PIPE, text=True, check=True).stdout
print(plan.count("contract"))
