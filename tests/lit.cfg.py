"""Text tests: RUN lines in .xf and .test files, checked by FileCheck.

Started by ctest (tests/CMakeLists.txt), one case a folder, or by hand:
    lit -v --param bin=build/bin --param llvm_tools=/usr/lib/llvm-22/bin --param out=/some/folder tests/ir
Tools are those of the build and no others: a tool that was not built fails its tests.
"""
import os
import shlex
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lit_format

config.name = "xfc"
config.test_format = lit_format.QuotedShTest(execute_external=False)
config.suffixes = [".xf", ".test"]
config.excludes = ["Inputs", "CMakeLists.txt"]
config.test_source_root = os.path.dirname(os.path.abspath(__file__))


def parameter(name, default):
    return os.path.abspath(lit_config.params.get(name, default))


bin_dir = parameter("bin", os.path.join(config.test_source_root, "..", "build", "bin"))
llvm_tools = parameter("llvm_tools", "/usr/lib/llvm-22/bin")
config.test_exec_root = parameter("out", os.path.join(bin_dir, "..", "tests", "lit"))

# Whole words only: "xfc" is part of neither "xfc_op" nor "a/xfc" nor "xfc.c".
for folder, tools in (
    (bin_dir, ("xf-opt", "xf-run", "xf-dump", "xf-bench", "xfc")),
    (llvm_tools, ("FileCheck", "not", "llvm-objdump", "llvm-nm", "llvm-readelf")),
):
    for tool in tools:
        config.substitutions.append((r"(?<![-\w/.%])" + tool + r"(?![-\w/.])", shlex.quote(os.path.join(folder, tool))))
# The interpreter that runs lit: the one of PATH may be a wrapper, and a slow one.
config.substitutions.append((r"(?<![-\w/.%])python3(?![-\w/.])", shlex.quote(sys.executable)))
config.substitutions.append(("%bin", shlex.quote(bin_dir)))
config.substitutions.append(("%root", shlex.quote(os.path.dirname(config.test_source_root))))

# Messages and golden files must not depend on who runs the tests.
config.environment["LC_ALL"] = "C"
for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "OMP_NUM_THREADS"):
    if name in os.environ:
        config.environment[name] = os.environ[name]
