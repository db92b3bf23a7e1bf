"""xf.py - runs models compiled by xfc from Python: one file over ctypes, NumPy the only dependency.

    import numpy as np, xf
    session = xf.InferenceSession("model.so")
    out, = session.run("sentence_embedding", {"input_ids": ids, "attention_mask": mask})

A model compiled with --packed-entry also takes sequences one behind another, without padding:

    rows, pooled = session.run_packed(None, {"input_ids": ids}, [0, 3, 7])  # ids[0:3] and ids[3:7]

Zero copy both ways: inputs are read where NumPy has them (only arrays that are not C-contiguous are copied), outputs
are allocated by NumPy and written in place. Errors of the model are exceptions of type xf.Error with its message. One
session may be used from several threads: each gets a context of its own; the weights are shared. After os.fork the
child may go on with the sessions of its parent. Where code for onnxruntime would do, it mostly does here: the names of
methods, the types of inputs, and arguments such as providers, which are ignored.

A sequence is a list of arrays, an optional one None or what it holds, strings an array of them (type object, or NumPy's own
strings), as inputs and as outputs.
"""

import _ctypes
import collections
import ctypes as C
import functools
import json
import os
import struct
import threading
import weakref

import numpy as np

__all__ = ["Error", "InferenceSession", "Node"]

_ABI = 1
_NAMES = {
    (0, 8): "int8",
    (0, 16): "int16",
    (0, 32): "int32",
    (0, 64): "int64",
    (1, 8): "uint8",
    (1, 16): "uint16",
    (1, 32): "uint32",
    (1, 64): "uint64",
    (2, 16): "float16",
    (2, 32): "float32",
    (2, 64): "float64",
    (6, 8): "bool",
}
_EXTRA = { # of the package ml_dtypes
    (4, 16): "bfloat16",
    (10, 8): "float8_e4m3fn",
    (11, 8): "float8_e4m3fnuz",
    (12, 8): "float8_e5m2",
    (13, 8): "float8_e5m2fnuz",
    (14, 8): "float8_e8m0fnu",
    (0, 4): "int4",
    (0, 2): "int2",
    (1, 4): "uint4",
    (1, 2): "uint2",
    (17, 4): "float4_e2m1fn",
}


_ONNX_NAMES = {"float32": "float", "float64": "double"}
# What is more than one tensor, by metadata "type:NAME": how its type is written, and how many parts it has.
_KINDS = {"sequence": ("seq({})", 2), "optional": ("optional({})", 2), "optional sequence": ("optional(seq({}))", 3),
          "text": ("tensor(string)", 2)}


class _Device(C.Structure):
    _fields_ = [("type", C.c_int32), ("id", C.c_int32)]


class _Dtype(C.Structure):
    _fields_ = [("code", C.c_uint8), ("bits", C.c_uint8), ("lanes", C.c_uint16)]


class _Tensor(C.Structure):
    _fields_ = [
        ("data", C.c_void_p),
        ("device", _Device),
        ("ndim", C.c_int32),
        ("dtype", _Dtype),
        ("shape", C.POINTER(C.c_int64)),
        ("strides", C.POINTER(C.c_int64)),
        ("byte_offset", C.c_uint64),
    ]


_TENSOR = struct.Struct("=Qiii2BH3Q")  # the same, written at once
_DIMS = [C.c_int64 * n for n in range(129)]  # of an array, and its strides; NumPy has 64 dims at most
_CODES = {np.dtype(name): code for code, name in _NAMES.items()}


class _Info(C.Structure):
    _fields_ = [
        ("name", C.c_char_p),
        ("dtype", _Dtype),
        ("ndim", C.c_int32),
        ("dim", C.POINTER(C.c_int64)),
        ("dim_name", C.POINTER(C.c_char_p)),
        ("dim_min", C.POINTER(C.c_int64)),
        ("dim_max", C.POINTER(C.c_int64)),
    ]


class _OpenOpts(C.Structure):
    _fields_ = [
        ("struct_size", C.c_size_t),
        ("weights_path", C.c_char_p),
        ("weights", C.c_void_p),
        ("weights_size", C.c_size_t),
        ("isa", C.c_char_p),
        ("device", _Device),
        ("flags", C.c_uint32),
    ]


class _CtxOpts(C.Structure):
    _fields_ = [
        ("struct_size", C.c_size_t),
        ("num_threads", C.c_int32),
        ("parallel_for", C.c_void_p),
        ("pool", C.c_void_p),
        ("arena", C.c_void_p),
        ("arena_size", C.c_size_t),
        ("stream", C.c_void_p),
        ("flags", C.c_uint32),
    ]


_TAP = C.CFUNCTYPE(None, C.c_void_p, C.c_char_p, C.c_int32, C.POINTER(_Tensor))
_P, _PP, _T, _N = C.c_void_p, C.POINTER(C.c_void_p), C.POINTER(_Tensor), C.c_size_t


def _f(result, *args):
    return C.CFUNCTYPE(result, *args)


class _Api(C.Structure):
    _fields_ = [("abi_version", C.c_uint32), ("struct_size", C.c_size_t),
                ("status_string", _f(C.c_char_p, C.c_int)),
                ("open", _f(C.c_int, C.POINTER(_OpenOpts), _PP)), ("retain", _f(None, _P)), ("release", _f(None, _P)),
                ("num_inputs", _f(_N, _P)), ("num_outputs", _f(_N, _P)),
                ("input_info", _f(C.POINTER(_Info), _P, _N)), ("output_info", _f(C.POINTER(_Info), _P, _N)),
                ("signature_json", _f(C.c_char_p, _P)), ("metadata", _f(C.c_char_p, _P, C.c_char_p)),
                ("infer_shapes", _f(C.c_int, _P, _T, _N, _T, _N)),
                ("workspace_size", _f(C.c_int, _P, _T, _N, C.c_int32, C.POINTER(_N))),
                ("ctx_create", _f(C.c_int, _P, C.POINTER(_CtxOpts), _PP)), ("ctx_destroy", _f(None, _P)),
                ("run", _f(C.c_int, _P, _T, _N, _T, _N)),
                ("run_packed", _f(C.c_int, _P, _T, _N, C.c_void_p, _N, _T, _N)),
                ("last_error", _f(C.c_char_p, _P)), ("cancel", _f(None, _P)),
                ("set_tap", _f(C.c_int, _P, C.c_char_p, _TAP, _P)),
                ("profile_start", _f(C.c_int, _P)),
                ("profile_json", _f(C.c_int, _P, C.c_char_p, _N, C.POINTER(_N))),
                ("num_packed_inputs", _f(_N, _P)), ("packed_input_info", _f(C.POINTER(_Info), _P, _N)),
                ("packed_output_info", _f(C.POINTER(_Info), _P, _N)),
                ("packed_infer_shapes", _f(C.c_int, _P, _T, _N, C.c_void_p, _N, _T, _N)),
                ("packed_workspace_size", _f(C.c_int, _P, _T, _N, C.c_void_p, _N, C.c_int32, C.POINTER(_N)))]


# run or run_packed: what goes in and out, and the functions of the table that serve it.
class _Entry(collections.namedtuple("_Entry", "inputs outputs infer size run")):
    """A way of calling a model. What follows from its nodes is made at the first call: calls of small models should cost little."""

    @functools.cached_property
    def whole_inputs(self):
        return _whole(self.inputs)

    @functools.cached_property
    def names(self):
        """Of the outputs, those of all parts as one."""
        return [n.name for n in _whole(self.outputs)]

    @functools.cached_property
    def continues(self):
        """May an output lie in the memory of an input?"""
        return any(n.past for n in self.outputs)


class Error(RuntimeError):
    """What the model refused. status: the xf_status number, 0 for errors found in Python."""

    def __init__(self, message, status=0):
        super().__init__(message)
        self.status = status


class Node:
    """A declared input or output, as onnxruntime describes it.

    type: "tensor(int64)", "seq(tensor(float))", ...; shape: an int, a name, or None (decided at run time, no name) for each
    dim; ranges: (least, most or None) for each. past: of an output, the name of the input whose memory it may continue
    (compiled with --cache=inplace), else None.
    """

    def __init__(self, info):
        self.name = info.name.decode()
        code = (info.dtype.code, info.dtype.bits)
        kind = _NAMES.get(code) or _EXTRA.get(code, "unknown")
        self.type = f"tensor({_ONNX_NAMES.get(kind, kind)})"
        self._kind = kind
        dims = range(info.ndim)
        names = [info.dim_name[d].decode() if info.dim_name[d] else None for d in dims]
        self.shape = [info.dim[d] if info.dim[d] >= 0 else names[d] for d in dims]
        self.ranges = [(info.dim_min[d], info.dim_max[d] if info.dim_max[d] >= 0 else None) for d in dims]
        self._dtype = (info.dtype.code, info.dtype.bits, info.dtype.lanes)
        self.past = self._numpy = None
        self._parts = []  # of a sequence or an optional: the nodes of all its tensors, this one first

    @property
    def dtype(self):
        """The NumPy dtype. bfloat16, and what has fewer bits than a byte or is a float of 8, need the package ml_dtypes."""
        if self._numpy is None:
            if self._kind in _EXTRA.values():
                import ml_dtypes
                self._numpy = np.dtype(getattr(ml_dtypes, self._kind))
            else:
                self._numpy = np.dtype(self._kind)
        return self._numpy

    def __repr__(self):
        return f"Node(name={self.name!r}, type={self.type!r}, shape={self.shape!r})"


class _Library:
    """A loaded model.so. The loader takes a path that it has loaded for the same file for ever: a file that was compiled
    again is loaded under another spelling of its path, as long as somebody uses the old one."""

    _lock = threading.Lock()
    _loaded = {}  # path: [[file, users], ...]; the place in the list is the spelling

    def __init__(self, path):
        self.path, self.handle = path, None
        with self._lock:
            try:
                stat = os.stat(path)
                slots = self._loaded.setdefault(path, [])
                self.slot = self._find(slots, (stat.st_dev, stat.st_ino))
                folder, name = os.path.split(path)
                self.so = C.CDLL(os.path.join(folder, "./" * self.slot + name), mode=os.RTLD_NOW | os.RTLD_LOCAL)
            except OSError as e:
                raise Error(_not_a_model(path, e)) from None
            slots[self.slot][1] += 1
            self.handle = self.so._handle

    @staticmethod
    def _find(slots, file):
        for i, slot in enumerate(slots):
            if slot[0] == file:
                return i
        free = next((i for i, slot in enumerate(slots) if slot[1] == 0), len(slots))
        slots[free:free + 1] = [[file, 0]]
        return free

    def close(self):
        handle, self.handle = self.handle, None
        if handle is not None:
            with self._lock:
                _ctypes.dlclose(handle)
                self._loaded[self.path][self.slot][1] -= 1

    __del__ = close


def _not_a_model(path, error):
    """Why a file could not be loaded, in the words of somebody who gave the wrong one."""
    if isinstance(error, FileNotFoundError) or not os.path.exists(path):
        return f"{path}: there is no such file"
    if os.path.isdir(path):
        return f"{path}: is a directory, not a model compiled by xfc"
    try:
        with open(path, "rb") as f:
            magic = f.read(4)
    except OSError as e:
        return f"{path}: cannot be read: {e.strerror}"
    if magic != b"\x7fELF":
        return f"{path}: not a model compiled by xfc, nor any shared object; compile a model with: xfc model.onnx -o model.so"
    return f"{path}: cannot be loaded: {error}"


class _Context:
    """An xf_ctx that goes with the thread it serves. lock: held while it runs."""

    def __init__(self, api, model, threads, check_finite):
        self.api, self.handle = api, C.c_void_p()
        self.lock, self.process, self.thread = threading.Lock(), os.getpid(), threading.get_ident()
        opts = _CtxOpts(C.sizeof(_CtxOpts), threads or 0, None, None, None, 0, None, 2 if check_finite else 0)
        _check(api, api.ctx_create(model, C.byref(opts), C.byref(self.handle)), None)

    def close(self):
        """Waits for the run in progress. False: that was in the parent of this process, and will never end here."""
        if self.lock.locked() and self.thread == threading.get_ident():
            raise Error("close: called by a tap of a run in progress")
        if not self.lock.acquire(blocking=self.process == os.getpid()):
            return False
        try:
            if self.handle:
                self.api.ctx_destroy(self.handle)
                self.handle = None
        finally:
            self.lock.release()
        return True

    def cancel(self):
        handle = self.handle
        if handle:
            self.api.cancel(handle)

    __del__ = close


def _check(api, status, ctx):
    if status:
        raise Error(api.last_error(ctx).decode(errors="replace"), status)


class InferenceSession:
    """One compiled model, open until close() or the end of a with statement. threads: workers of a run (None: the model's
    default); isa: force a code variant; weights: a file that holds them; check_finite: refuse NaN and infinity in outputs;
    verify: read all weights and compare them with their checksums. providers and provider_options are ignored.
    """

    def __init__(self, path, threads=None, isa=None, weights=None, check_finite=False, verify=False, providers=None,
                 provider_options=None):
        path = os.path.abspath(os.fspath(path))
        self._api = self._model = None
        self._local, self._contexts = threading.local(), weakref.WeakSet()
        self._library = _Library(path)
        try:
            get = self._library.so.xf_get_api
        except AttributeError:
            raise Error(f"{path}: a shared object, but not a model compiled by xfc") from None
        get.restype, get.argtypes = C.POINTER(_Api), [C.c_uint32]
        table = get(_ABI)
        if not table:
            raise Error(f"{path}: does not serve ABI version {_ABI}; use the xf.py that came with its xfc")
        self._api = api = table.contents
        opts = _OpenOpts(
            C.sizeof(_OpenOpts), os.fsencode(weights) if weights else None, None, 0, isa.encode() if isa else None,
            _Device(0, 0), 1 if verify else 0
        )
        model = C.c_void_p()
        _check(api, api.open(C.byref(opts), C.byref(model)), None)
        self._model, self._threads, self._finite = model, threads, check_finite
        count = api.num_outputs(model)
        self._entry = _Entry(_nodes(api.input_info, model, api.num_inputs(model)),
                             _nodes(api.output_info, model, count), api.infer_shapes, api.workspace_size, api.run)
        self._index = {n.name: i for i, n in enumerate(self._entry.outputs)}
        self._present = {}
        for node in self._entry.outputs:
            node.past = self.metadata("cache:" + node.name)
            self._present[node.past] = node.name
        for nodes in self._entry[:2]:
            for i, node in enumerate(nodes):
                node._kind_of_parts = self.metadata("type:" + node.name)
                if node._kind_of_parts:
                    form, count = _KINDS[node._kind_of_parts]
                    node.type, node._parts = form.format(node.type), nodes[i:i + count]
                if node._kind_of_parts == "text":
                    node.shape, node.ranges = nodes[i + 1].shape, nodes[i + 1].ranges
        packed = api.struct_size > _Api.packed_workspace_size.offset and api.num_packed_inputs(model)
        self._packed = _Entry(_nodes(api.packed_input_info, model, packed),
                              _nodes(api.packed_output_info, model, count), api.packed_infer_shapes,
                              api.packed_workspace_size, api.run_packed) if packed else None

    def close(self):
        """Frees everything, after the runs in progress. The session is of no use afterwards."""
        contexts = list(getattr(self, "_contexts", ()))
        self._local, self._contexts = threading.local(), weakref.WeakSet()
        model, self._model = getattr(self, "_model", None), None  # runs that did not begin yet find it closed
        if not all([context.close() for context in contexts]):
            return
        if model:
            self._api.release(model)
        self._api = None
        library, self._library = getattr(self, "_library", None), None
        if library:
            library.close()

    __del__ = close

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def get_inputs(self):
        return _whole(self._entry.inputs)

    def get_outputs(self):
        return _whole(self._entry.outputs)

    def get_packed_inputs(self):
        """Of run_packed; [] for a model that was compiled without --packed-entry."""
        return list(self._packed.inputs) if self._packed else []

    def get_packed_outputs(self):
        return list(self._packed.outputs) if self._packed else []

    @property
    def signature(self):
        """The declared inputs and outputs as plain Python data."""
        return json.loads(self._open().signature_json(self._model))

    def metadata(self, key):
        """"isa", "xfc.version", ...; None if there is no such key."""
        value = self._open().metadata(self._model, key.encode())
        return value.decode() if value is not None else None

    def workspace_size(self, feed):
        """Bytes of memory that a run on these inputs needs beside inputs and outputs of its own."""
        return self._size(self._entry, feed)

    def packed_workspace_size(self, feed, cu_seqlens):
        """The same for run_packed."""
        starts = self._starts(cu_seqlens)
        return self._size(self._packed, feed, starts.ctypes.data, len(starts) - 1)

    def run(self, output_names, feed, out=None):
        """Runs the model. output_names: one name or several, in any order (None: all). feed: {input name: array}. out:
        {output name: array} writes these in place; each must be C-contiguous and of the exact dtype and shape. Returns
        a list of arrays. An output with a past may be rows [.., :p + s, ..] of a larger array of which the past in feed is
        rows [.., :p, ..]: then no row of the past is copied.
        """
        return self._call(self._entry, output_names, feed, out)

    def run_packed(self, output_names, feed, cu_seqlens, out=None):
        """Runs the model on sequences that stand one behind another (compiled with --packed-entry). cu_seqlens: 0, then
        where each sequence ends, integers; the last one is the number of tokens. feed and the result are those of run,
        without the mask: arrays [tokens, ...] where run has [batch, sequence, ...]; see get_packed_inputs and
        get_packed_outputs. Same bits as run on the sequences padded.
        """
        starts = self._starts(cu_seqlens)
        return self._call(self._packed, output_names, feed, out, starts.ctypes.data, len(starts) - 1)

    def cancel_handle(self):
        """A function that stops this thread's run in progress; call it from another thread."""
        self._context()
        return self._local.context.cancel

    def profile_start(self):
        """Starts timing each kernel of this thread's runs."""
        ctx = self._context()
        _check(self._api, self._api.profile_start(ctx), ctx)

    def profile(self):
        """The times since profile_start: {"runs", "total_ns", "steps": [{"nodes", "form", "count", "total_ns", ...}]};
        also "equal_steps", of runs whose dims agree, where they have a program of their own, and "packed_steps" of
        run_packed."""
        ctx, n = self._context(), C.c_size_t()
        _check(self._api, self._api.profile_json(ctx, None, 0, C.byref(n)), ctx)
        text = C.create_string_buffer(n.value + 1)
        _check(self._api, self._api.profile_json(ctx, text, n.value + 1, C.byref(n)), ctx)
        return json.loads(text.value)

    def set_tap(self, glob, callback):
        """callback(node name, output number, array copy) after each kernel of this thread's runs that holds a node
        matching glob. callback None: no more."""
        ctx = self._context()
        if callback is None:
            _check(self._api, self._api.set_tap(ctx, None, _TAP(), None), ctx)
            self._local.tap = None
            return

        def call(_, node, output, value):
            callback(node.decode(errors="replace"), output, _copy(value.contents))

        tap = _TAP(call)
        _check(self._api, self._api.set_tap(ctx, glob.encode(), tap, None), ctx)
        self._local.tap = tap  # ctypes must keep it as long as the context may call it

    # --- private ----------------------------------------------------------------------------------------------------

    def _open(self):
        if not self._model:
            raise Error("the session is closed")
        return self._api

    def _context(self):
        if not hasattr(self._local, "context"):
            self._local.context = _Context(self._open(), self._model, self._threads, self._finite)
            self._contexts.add(self._local.context)
        return self._local.context.handle

    def _starts(self, cu_seqlens):
        """An int32 array; what its numbers mean is for the model to check."""
        if not self._packed:
            raise Error("the model was compiled without --packed-entry, so it has no run_packed")
        array = np.asarray(cu_seqlens)
        if array.ndim != 1 or array.size < 2:
            raise Error(f"cu_seqlens has shape {array.shape}; it is one row: 0, then where each sequence ends")
        if array.dtype.kind not in "iu":
            raise Error(f"cu_seqlens is {array.dtype}, expected integers", 2)
        limits = np.iinfo(np.int32)
        if array.min() < limits.min or array.max() > limits.max:
            raise Error("cu_seqlens has a number that is no int32", 8)
        return np.require(array, np.int32, ["C", "A"])

    def _size(self, entry, feed, *starts):
        self._open()
        keep, tensors = self._bind(entry, feed)
        n = C.c_size_t()
        _check(self._api, entry.size(self._model, tensors, len(keep), *starts, self._threads or 0, C.byref(n)), None)
        return n.value

    def _call(self, entry, output_names, feed, out, *starts):
        if output_names is None:
            names = entry.names
        else:
            names = [output_names] if isinstance(output_names, str) else list(output_names)
        for name in (*names, *(out or ())):
            if name not in self._index:
                raise Error(f"the model has no output {name!r}; it has {', '.join(self._index)}")
        self._context()
        context = self._local.context
        if not context.lock.acquire(blocking=False):
            raise Error("the session runs in this thread already: this call comes from a tap, or while it is closed")
        try:
            self._open()
            keep, tensors = self._bind(entry, feed, out or {})
            arrays, results, shapes = self._allocate(entry, tensors, len(keep), out or {}, *starts)
            status = entry.run(context.handle, tensors, len(keep), *starts, results, len(arrays))
            _check(self._api, status, context.handle)
            for i, node in enumerate(entry.outputs):
                if node._dtype[1] < 8 and out and node.name in out:
                    arrays[i] = out[node.name]
                    arrays[i][...] = _copy(results[i]).view(node.dtype)
            pasts = {t.data for t in tensors} if entry.continues else ()
            made = [_written(*one, node.dtype, pasts) for *one, node in zip(arrays, results, entry.outputs)]
            return [_together(entry.outputs[i], made[i:]) for i in map(self._index.get, names)]
        finally:
            context.lock.release()

    def _bind(self, entry, feed, out=()):
        """The input tensors, and the arrays that must stay alive as long as they."""
        feed = dict(feed)
        for node in entry.whole_inputs:
            if node._parts and node.name in feed and node._parts[1].name not in feed:
                feed.update(_apart(node, feed[node.name]))
        tensors, keep = (_Tensor * max(len(entry.inputs), 1))(), []
        for i, node in enumerate(entry.inputs):
            if node.name not in feed:
                raise Error(f"input {node.name!r} is missing")
            array = np.asarray(feed.pop(node.name))
            flags, present = array.flags, self._present.get(node.name)
            together = present in out and out[present].ctypes.data == array.ctypes.data
            if not (flags.c_contiguous or together) or not flags.aligned or not array.dtype.isnative:
                array = np.require(array, dtype=array.dtype.newbyteorder("="), requirements=["C", "A"])
            if node._dtype[1] < 8:
                array, shape = _pack(array, node), array.shape
                tensors[i] = _packed(array, shape, node)
                keep.append((array, tensors[i].shape))
                continue
            keep.append((array, _describe(tensors, i, array, node)))
        if feed:
            which = "packed entry" if entry is self._packed else "model"
            raise Error(
                f"the {which} has no input {next(iter(feed))!r}; it has {', '.join(n.name for n in entry.inputs)}"
            )
        return keep, tensors

    def _allocate(self, entry, tensors, n_in, given, *starts):
        """Output arrays of the right shapes, or the caller's, and their tensors; None where only the run knows the
        shape: the context provides the memory."""
        count = len(entry.outputs)
        results, keep = (_Tensor * max(count, 1))(), []
        for i, node in enumerate(entry.outputs):
            keep.append(_DIMS[len(node.shape)]())
            _TENSOR.pack_into(results, i * _TENSOR.size, 0, 0, 0, len(node.shape), 0, 0, 0, C.addressof(keep[i]), 0, 0)
        _check(self._api, entry.infer(self._model, tensors, n_in, *starts, results, count), None)
        arrays = []
        for i, node in enumerate(entry.outputs):
            array, shape = given.get(node.name), tuple(keep[i])
            if node._dtype[1] < 8:  # the context packs it; it is unpacked when the run is over
                if array is not None and (array.dtype != node.dtype or array.shape != shape):
                    raise Error(f"output {node.name!r}: the array must be {node._kind}{list(shape)}", 3)
                arrays.append(None)
                continue
            if array is None and min(shape, default=0) < 0:
                arrays.append(None)
                continue
            if array is None:
                array = np.empty(shape, node.dtype)
            elif not (array.flags.c_contiguous or node.past) or not array.flags.writeable:
                raise Error(f"output {node.name!r}: the array must be C-contiguous and writeable")
            keep[i] = keep[i], _describe(results, i, array, node)
            arrays.append(array)
        return arrays, results, keep


def _nodes(info, model, count):
    return [Node(info(model, i).contents) for i in range(count)]


def _whole(nodes):
    """Without those that are parts of the one before."""
    parts = {id(p) for n in nodes for p in n._parts[1:]}
    return [n for n in nodes if id(n) not in parts]


def _apart(node, value):
    """A sequence or an optional as {name: array} of its parts: all elements, then a row of dims for each tensor."""
    if node._kind_of_parts == "text":
        texts = np.asarray(value)
        data = [t if isinstance(t, bytes) else str(t).encode(errors="surrogateescape") for t in texts.ravel()]
        lengths = np.array([len(t) for t in data], np.int64).reshape(texts.shape)
        return dict(zip((p.name for p in node._parts), (np.frombuffer(b"".join(data), np.uint8), lengths)))
    items = [] if value is None else [value] if node._kind_of_parts == "optional" else list(value)
    arrays = [np.asarray(a) for a in items]
    if len({a.dtype for a in arrays}) > 1:
        raise Error(f"{node.name!r}: the arrays are of types {', '.join(sorted({str(a.dtype) for a in arrays}))}", 2)
    rank = node._parts[1].shape[1]
    rank = rank if isinstance(rank, int) else max((a.ndim for a in arrays), default=0)
    if any(a.ndim > rank for a in arrays):
        raise Error(f"{node.name!r}: an array has {max(a.ndim for a in arrays)} dims, expected at most {rank}", 3)
    rows = [a.shape + (-1,) * (rank - a.ndim) for a in arrays]
    elements = np.concatenate([a.ravel() for a in arrays]) if arrays else np.empty(0, node.dtype)
    parts = [elements, np.array(rows, np.int64).reshape(len(rows), rank), np.array(value is not None)]
    return {p.name: a for p, a in zip(node._parts, parts)}


def _together(node, arrays):
    """The output that begins with arrays[0]."""
    if node._parts and node._kind_of_parts == "text":
        ends = np.cumsum(arrays[1].ravel())
        data, texts = arrays[0].tobytes(), np.empty(arrays[1].size, object)
        for i, (end, n) in enumerate(zip(ends, arrays[1].ravel())):
            texts[i] = data[end - n:end].decode(errors="surrogateescape")
        return texts.reshape(arrays[1].shape)
    if not node._parts or (len(node._parts) > 2 and not arrays[2]):
        return None if node._parts else arrays[0]
    items, at = [], 0
    for row in arrays[1]:
        shape = tuple(int(d) for d in row if d >= 0)
        n = int(np.prod(shape, dtype=np.int64))
        items.append(arrays[0][at:at + n].reshape(shape))
        at += n
    return items if node._kind_of_parts != "optional" else items[0] if items else None


def _address(array):
    try:
        return C.addressof(C.c_char.from_buffer(array))  # a quarter of the time of the other way, for most arrays
    except (TypeError, ValueError, BufferError):
        return array.ctypes.data


def _describe(tensors, i, array, node):
    """Points tensor i at array; answers what must live as long. What does not fit the declaration is left for the model to
    refuse, with its message."""
    code = _CODES.get(array.dtype)
    if code is None:
        kind = {"i": 0, "u": 1, "f": 2, "b": 6}.get(array.dtype.kind)
        if kind is None:
            if node._kind not in _EXTRA.values() or array.dtype != node.dtype:
                raise Error(f"{node.name!r}: NumPy type {array.dtype} is not {node._kind}", 2)
            kind = node._dtype[0]
        code = kind, array.dtype.itemsize * 8
    rank = array.ndim
    if array.flags.c_contiguous:
        dims = _DIMS[rank](*array.shape)
        shape, strides = C.addressof(dims), 0
    else:
        dims = _DIMS[2 * rank](*array.shape, *(s // array.itemsize for s in array.strides))
        shape = C.addressof(dims)
        strides = shape + 8 * rank
    _TENSOR.pack_into(tensors, i * _TENSOR.size, _address(array), 1, 0, rank, *code, 1, shape if rank else 0, strides, 0)
    return dims


def _pack(array, node):
    """The bytes of numbers of fewer bits, the first in the lowest ones, from an array with a byte each, or of integers."""
    code, bits, _ = node._dtype
    if array.dtype.kind in "iu" and code <= 1:
        low = -(1 << (bits - 1)) if code == 0 else 0
        if array.size and (array.min() < low or array.max() >= low + (1 << bits)):
            raise Error(f"{node.name!r}: a number is no {node._kind}", 8)
        array = array.astype(np.int8 if code == 0 else np.uint8)
    elif array.dtype.itemsize != 1 or array.dtype != node.dtype:
        raise Error(f"{node.name!r}: NumPy type {array.dtype} is not {node._kind}", 2)
    each = 8 // bits
    numbers = np.zeros(-(-array.size // each) * each, np.uint8)
    numbers[:array.size] = array.reshape(-1).view(np.uint8) & ((1 << bits) - 1)
    return np.bitwise_or.reduce(numbers.reshape(-1, each) << (bits * np.arange(each, dtype=np.uint8)), axis=1)


def _packed(data, shape, node):
    tensor = _Tensor()
    tensor.data, tensor.device, tensor.dtype = data.ctypes.data, _Device(1, 0), _Dtype(*node._dtype)
    tensor.ndim, tensor.shape = len(shape), (C.c_int64 * max(len(shape), 1))(*shape)
    return tensor


def _unpack(data, shape, code, bits):
    each = 8 // bits
    numbers = np.frombuffer(data, np.uint8)[:, None] >> (bits * np.arange(each, dtype=np.uint8))
    numbers = (numbers.reshape(-1)[:int(np.prod(shape, dtype=np.int64))] & ((1 << bits) - 1)).reshape(shape)
    sign = 1 << (bits - 1)
    return (numbers ^ sign).view(np.int8) - np.int8(sign) if code == 0 else numbers


def _written(array, tensor, dtype, pasts):
    """The array, or its front where data decided that the output is smaller; None: a copy of the context's. With room
    behind its rows, or in the memory of its past, it has as many rows as before for each head."""
    if array is None:
        return _copy(tensor).view(dtype)
    shape = tuple(tensor.shape[:tensor.ndim]) if tensor.ndim else ()
    if shape == array.shape:
        return array
    if not array.flags.c_contiguous or tensor.data in pasts:
        return array[tuple(map(slice, shape))]
    return array.reshape(-1)[: int(np.prod(shape, dtype=np.int64))].reshape(shape)


def _copy(t):
    shape = tuple(t.shape[d] for d in range(t.ndim))
    if t.dtype.bits < 8:
        n = -(-int(np.prod(shape, dtype=np.int64)) * t.dtype.bits // 8)
        return _unpack(C.string_at(t.data + t.byte_offset, n) if n else b"", shape, t.dtype.code, t.dtype.bits)
    name = _NAMES.get((t.dtype.code, t.dtype.bits), f"V{t.dtype.bits // 8}")
    dtype = np.dtype(name)
    n = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    data = C.string_at(t.data + t.byte_offset, n) if n else b""
    return np.frombuffer(data, dtype).reshape(shape).copy()
