"""Tests of the file that xfc writes and of what happens when it cannot. usage: test_link.py XFC XF_DUMP XF_PY"""

import importlib.util
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import zlib

XFC, XF_DUMP, XF_PY = map(os.path.abspath, sys.argv[1:4])
MODEL = """graph @mlp[b in 0..512](%x: f32[b, 40]) -> (f32[b, 100] "y") stage imported {
  %w = const "fc.weight" : f32[40, 100] = random 3
  %h = matmul %x, %w : f32[b, 100]  @ "fc" "MatMul" 17
  %z = const : f32[] = 0
  %y = max %h, %z : f32[b, 100]  @ "act" "Max" 17
  return %y
}
"""
ISAS = ("x86-64-v2", "x86-64-v3", "x86-64-v4")


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **more)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, data):
    with open(path, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())
    return path


def sections(path):
    """name -> (type, offset, bytes, flags, align), as readelf prints them."""
    out = run("readelf", "-W", "-S", path)
    assert out.returncode == 0 and out.stderr == "", out.stderr
    found = {}
    for line in out.stdout.splitlines():
        m = re.match(r"\s*\[ *\d+\] (\S+)\s+(\S+)\s+\S+ (\S+) (\S+) \S+ +(\w*) +\d+ +\d+ +(\d+)$", line)
        if m:
            found[m[1]] = (m[2], int(m[3], 16), int(m[4], 16), m[5], int(m[6]))
    return found


def content(path, name):
    _, offset, size, _, _ = sections(path)[name]
    return read(path)[offset:offset + size]


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="xfc-test-")
        self.tmp = os.path.join(self.dir, "tmp")
        self.out = os.path.join(self.dir, "out")
        os.mkdir(self.tmp)
        os.mkdir(self.out)
        self.model = write(os.path.join(self.dir, "mlp.xf"), MODEL)
        self.so = os.path.join(self.out, "mlp.so")
        self.env = dict(os.environ, TMPDIR=self.tmp)

    def tearDown(self):
        shutil.rmtree(self.dir)

    def compile(self, *more, output=None, env=None):
        return run(XFC, self.model, "-o", output or self.so, *more, env=env or self.env)

    def built(self, *more, output=None):
        done = self.compile(*more, output=output)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return output or self.so


class File(Case):
    def test_same_bytes(self):
        first = read(self.built())
        os.mkdir(os.path.join(self.dir, "other"))
        other = os.path.join(self.dir, "other", "name.so")
        done = run(XFC, self.model, "-o", other, env=dict(self.env, TMPDIR=self.out, LC_ALL="C"), cwd="/")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(first, read(other))

    def test_sections(self):
        self.built()
        everything = run("readelf", "-W", "-a", self.so)
        self.assertEqual((everything.returncode, everything.stderr), (0, ""))
        found = sections(self.so)
        for name, align, flags in ((".xf.weights", 4096, ""), (".xf.ir", 8, ""), (".xf.plan", 8, "A")):
            self.assertEqual(found[name][0], "PROGBITS")
            self.assertEqual(found[name][1] % align, 0)
            self.assertEqual(found[name][3:], (flags, align))
        packed = content(self.so, ".xf.ir")
        text = zlib.decompress(packed[8:])
        self.assertEqual(int.from_bytes(packed[:8], "little"), len(text))
        self.assertIn(b"stage planned", text)
        weights = content(self.so, ".xf.weights")
        self.assertEqual(weights[:8], bytes.fromhex("5846574549474831"))
        self.assertEqual(int.from_bytes(weights[12:16], "little"), 4096)
        self.assertEqual(int.from_bytes(weights[16:24], "little"), len(weights) - 4096 - 4)  # one block
        self.assertEqual(weights[24:56], content(self.so, ".xf.plan")[16:48])  # the build id
        self.assertEqual(int.from_bytes(weights[56:60], "little"), 1 << 20)
        self.assertEqual(weights[64:4096], bytes(4032))
        self.assertNotEqual(weights[4096:], bytes(len(weights) - 4096))

    def test_what_it_needs(self):
        self.built()
        needed = set(re.findall(r"NEEDED.*\[(.*?)\]", run("readelf", "-W", "-d", self.so).stdout))
        self.assertLessEqual(needed, {"libc.so.6", "libm.so.6"})
        symbols = run("readelf", "-W", "--dyn-syms", self.so).stdout
        rows = [line.split() for line in symbols.splitlines() if re.match(r"\s*\d+:", line)]
        exported = [row[7] for row in rows if row[6] not in ("UND", "ABS") and row[4] != "LOCAL"]
        self.assertEqual([e.split("@")[0] for e in exported], ["xf_get_api"])
        versions = [tuple(map(int, v.split("."))) for v in re.findall(r"@GLIBC_([\d.]+)", symbols)]
        self.assertTrue(versions)
        self.assertLessEqual(max(versions), (2, 28))
        stack = re.search(r"GNU_STACK .*", run("readelf", "-W", "-l", self.so).stdout)[0]
        self.assertNotIn("E", stack.split()[-2])
        self.assertNotIn("TEXTREL", run("readelf", "-W", "-d", self.so).stdout)

    def test_strip(self):
        self.built()
        stripped = shutil.copy(self.so, os.path.join(self.out, "stripped.so"))
        done = run("strip", stripped)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertNotIn(".symtab", sections(stripped))
        for name in (".xf.weights", ".xf.ir", ".xf.plan"):
            self.assertEqual(content(stripped, name), content(self.so, name))
            self.assertEqual(sections(stripped)[name][1] % sections(self.so)[name][4], 0)
        self.results(stripped)
        self.assertEqual(run(XF_DUMP, stripped).returncode, 0)
        self.assertEqual(run(XF_DUMP, "--asm", stripped).returncode, 1)

    def results(self, path):
        try:
            import numpy as np
        except ImportError:
            print("SKIP: NumPy is not installed, so the file is not run")
            return
        spec = importlib.util.spec_from_file_location("xf", XF_PY)
        xf = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(xf)
        # What is packed into panels of 48 columns: [3, 40, 48].
        data = np.frombuffer(content(path, ".xf.weights")[4096:4096 + 3 * 40 * 48 * 4], np.float32).reshape(3, 40, 48)
        w = data.transpose(1, 0, 2).reshape(40, 144)[:, :100]
        ran = 0
        for isa in ISAS:
            try:
                session = xf.InferenceSession(path, isa=isa, threads=1)
            except xf.Error as e:
                if "CPU" not in str(e) and "cpu" not in str(e):
                    raise
                print(f"SKIP: this CPU has no {isa}")
                continue
            for batch in (0, 1, 5, 130):
                x = np.random.default_rng(batch).standard_normal((batch, 40)).astype(np.float32)
                y = session.run(None, {"x": x})[0]
                np.testing.assert_allclose(y, np.maximum(x.astype(np.float64) @ w, 0), rtol=1e-4, atol=1e-4)
            ran += 1
        self.assertGreater(ran, 0)

    def test_runs(self):
        self.results(self.built())

    def test_one_isa_and_each_linker(self):
        tried = 0
        for linker in ("gcc", "clang", "clang-22"):
            if not shutil.which(linker):
                continue
            tried += 1
            path = self.built("-march=x86-64-v2", f"--linker={linker}", output=os.path.join(self.out, f"{linker}.so"))
            found = json.loads(run(XF_DUMP, "--isa", "--json", path).stdout)["variants"]
            self.assertEqual([v["isa"] for v in found], ["x86-64-v2"])
        self.assertGreater(tried, 0)

    def test_mode_follows_umask(self):
        done = run(XFC, self.model, "-o", self.so, env=self.env, preexec_fn=lambda: os.umask(0o027))
        self.assertEqual(done.returncode, 0)
        self.assertEqual(os.stat(self.so).st_mode & 0o777, 0o750)


class Failure(Case):
    def setUp(self):
        super().setUp()
        write(self.so, b"old contents")

    def fails(self, code, *texts, more=(), output=None, env=None):
        done = self.compile(*more, output=output, env=env)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for text in texts:
            self.assertIn(text, done.stderr)
        self.assertEqual(read(self.so), b"old contents")
        self.assertEqual(os.listdir(self.out), ["mlp.so"])
        self.assertEqual(os.listdir(self.tmp), [])

    def test_no_linker(self):
        self.fails(1, "no linker found", "install gcc", "--linker", env=dict(self.env, PATH=self.out))

    def test_linker_missing(self):
        self.fails(1, "/nonexistent/cc", "cannot be started", more=("--linker=/nonexistent/cc",))

    def test_linker_fails(self):
        script = "#!/bin/sh\necho note: first\necho fatal error: it is Monday >&2\nexit 3\n"
        bad = write(os.path.join(self.dir, "bad"), script)
        os.chmod(bad, 0o755)
        self.fails(1, "fatal error: it is Monday", more=(f"--linker={bad}",))

    def test_linker_writes_nonsense(self):
        for text in ("", "not an ELF file, but long enough to be looked at as if it were one, just in case"):
            bad = write(os.path.join(self.dir, "bad"), f"#!/bin/sh\nprintf '{text}' > \"$3\"\n")
            os.chmod(bad, 0o755)
            self.fails(1, "not a usable ELF file", more=(f"--linker={bad}",))

    def test_linker_writes_nothing(self):
        bad = write(os.path.join(self.dir, "bad"), "#!/bin/sh\nexit 0\n")
        os.chmod(bad, 0o755)
        self.fails(4, "cannot be read", more=(f"--linker={bad}",))

    def test_output(self):
        self.fails(4, "cannot be written", "-o", output=os.path.join(self.dir, "missing", "mlp.so"))
        self.fails(4, "is a directory", output=self.tmp)
        pipe = os.path.join(self.dir, "pipe")
        os.mkfifo(pipe)
        self.fails(4, "not a regular file", output=pipe)
        self.assertFalse(os.path.isfile(pipe))

    def test_no_temporary_directory(self):
        self.fails(4, "TMPDIR", env=dict(self.env, TMPDIR="/nonexistent"))


class Dump(Case):
    def test_parts(self):
        self.built()
        every = ("--signature", "--ops", "--plan", "--weights", "--isa", "--meta", "--ir", "--asm")
        done = run(XF_DUMP, "--json", *every, self.so)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        found = json.loads(done.stdout)
        self.assertEqual(found["signature"], [{"kind": "input", "name": "x", "type": "f32[b, 40]"},
                                              {"kind": "output", "name": "y", "type": "f32[b, 100]"}])
        self.assertEqual(found["dimensions"], [{"dimension": "b", "min": 0, "max": "512"}])
        self.assertEqual([v["isa"] for v in sorted(found["variants"], key=lambda v: v["isa"])], list(ISAS))
        self.assertTrue(any(w["type"].startswith("f32[") for w in found["weights"]))
        self.assertIn("stage planned", found["ir"])
        contract = [s for s in found["plan"] if s["form"] == "contract"]
        self.assertEqual([s["flops"] for s in contract], ["8000 * b"])
        self.assertIn(contract[0]["node"], ("fc", "act"))
        self.assertRegex(found["assembly"], r"xf_kernel_0@x86-64-v3")
        self.assertRegex(found["assembly"], r"\bvfmadd|\bret")
        plain = run(XF_DUMP, *every, self.so)
        self.assertEqual(plain.returncode, 0)
        one = run(XF_DUMP, f"--asm={contract[0]['kernel']}@x86-64-v4", self.so).stdout
        self.assertRegex(one, r"\bcallq?\b")  # of the micro-kernels
        self.assertEqual(re.findall(r"xf_kernel_\d+@(\S+):", one), ["x86-64-v4"])
        micro = run(XF_DUMP, "--asm=xf_tile_1x1x1_0", self.built("-march=x86-64-v3")).stdout
        self.assertRegex(micro, r"\bvfmadd")

    def test_model(self):
        done = run(XF_DUMP, "--json", "--ops", "--signature", "--weights", "--plan", "--asm=0", self.model)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        found = json.loads(done.stdout)
        self.assertIn({"op": "matmul", "count": 1}, found["ops"])
        self.assertIn({"name": "fc.weight", "type": "f32[40, 100]", "bytes": 16000, "uses": 1}, found["weights"])
        self.assertIn("xf_kernel_0:", found["assembly"])
        for stage in ("imported", "legal", "kernels", "scheduled", "planned"):
            done = run(XF_DUMP, f"--ir={stage}", self.model)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"stage {stage} {{", done.stdout)

    def test_wrong(self):
        self.built()
        cases = ((2, "unknown --ir=foo", "--ir=foo", self.model), (1, "no code", "--asm=99", self.so),
                 (1, "stage planned only", "--ir=legal", self.so), (4, "cannot be read", "/nonexistent.so"),
                 (1, ".xf.plan", "/bin/sh"), (2, "exactly one", self.so, self.so), (2, "--help", "--nonsense", self.so))
        for code, text, *arguments in cases:
            done = run(XF_DUMP, *arguments)
            self.assertEqual(done.returncode, code, arguments)
            self.assertIn(text, done.stderr)
            self.assertEqual(done.stdout, "")

    def test_hostile_sizes(self):
        """Symbols that claim to be larger than the file, and as large as fits."""
        good = bytearray(read(self.built("-march=x86-64-v2")))
        bad = os.path.join(self.out, "bad.so")
        _, at, size, _, _ = sections(self.so)[".symtab"]
        for claim in (2**63, 2**40, len(good) // 2):
            data = good[:]
            for symbol in range(at, at + size, 24):
                if data[symbol + 4] & 15 in (1, 2):  # objects and functions
                    data[symbol + 16:symbol + 24] = claim.to_bytes(8, "little")
            write(bad, bytes(data))
            done = run(XF_DUMP, "--isa", "--asm", bad)
            self.assertIn(done.returncode, (0, 1), done.stderr)

    def test_hostile(self):
        good = read(self.built("-march=x86-64-v2"))
        rng = random.Random(7)
        bad = os.path.join(self.out, "bad.so")
        found = sections(self.so)
        places = [found[n][1:3] for n in (".xf.plan", ".xf.ir", ".symtab", ".rela.dyn")]
        places += [(0, 64), (64, 600), (len(good) - 2100, 2100)]  # file header, segments, section table
        every = ("--signature", "--ops", "--plan", "--weights", "--isa", "--meta", "--ir", "--asm")
        values = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f")
        for i in range(70):
            data = bytearray(good)
            if i < 10:
                data = data[:len(good) * i // 10]
            else:
                offset, size = places[i % len(places)]
                for _ in range(rng.randint(1, 8)):
                    at = offset + rng.randrange(size)
                    data[at:at + 4] = rng.choice(values + (rng.randbytes(4),))
            write(bad, bytes(data))
            done = run(XF_DUMP, "--json", *every, bad)
            self.assertIn(done.returncode, (0, 1, 3, 4), f"case {i}: {done.stderr}")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
