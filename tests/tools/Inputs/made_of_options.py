"""Manual pages and completion say of every tool what its --help says: made_of_options.py TOOL...

bash runs its completion; the manual page is read by groff, and zsh's by zsh, where they are installed.
"""

import os
import re
import shutil
import subprocess
import sys

wrong = []


def output(*command, text=""):
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode or done.stderr:
        wrong.append(f"{command[:2]}: {done.returncode} {done.stderr}")
    return done.stdout


def complete(tool, script, *words):
    line = " ".join(f"'{w}'" for w in words)
    name = "_" + os.path.basename(tool).replace("-", "_")
    end = f'COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; {name}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    return output("bash", "-c", "compopt() { :; }\n" + script + end).split()


for tool in sys.argv[1:]:
    options = re.findall(r"^  (--?[\w-]+)", output(tool, "--help"), re.MULTILINE)
    forms = {form: output(tool, "--help=" + form) for form in ("man", "bash", "zsh")}
    if len(options) < 10:
        wrong.append(f"{tool}: only {options}")
    offered = [w.rstrip("=") for w in complete(tool, forms["bash"], "xfc", "-")]
    if sorted(offered) != sorted(options):
        wrong.append(f"{tool}: bash offers {offered}, not {options}")
    for option in options:
        if "\\fB" + option.replace("-", "\\-") + "\\fR" not in forms["man"]:
            wrong.append(f"{tool}: the manual page lacks {option}")
        if not re.search(rf"^  '\*?{option}(=-?|\+)?\[", forms["zsh"], re.MULTILINE):
            wrong.append(f"{tool}: zsh lacks {option}")
    if "--unpad" in options:
        for words in (("xfc", "--unpad", "="), ("xfc", "--unpad", "=", ""), ("xfc", "--unpad", "")):
            got = complete(tool, forms["bash"], *words)
            if got != ["auto", "off", "require"]:
                wrong.append(f"{tool}: {words} completes to {got}")
        if complete(tool, forms["bash"], "xfc", "--unpad", "=", "r") != ["require"]:
            wrong.append(f"{tool}: --unpad=r is not completed")
    if complete(tool, forms["bash"], "xfc", "model"):
        wrong.append(f"{tool}: names of files are bash's own business")
    if shutil.which("groff"):
        output("groff", "-man", "-ww", "-z", text=forms["man"])
    if shutil.which("zsh"):
        output("zsh", "-n", text=forms["zsh"])
if wrong:
    sys.exit("\n".join(wrong))
