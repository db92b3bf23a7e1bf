/* load.c - maps a model file and unpacks its scanned, thinned message.
 *
 * protobuf-c allocates from the import's arena and never frees: everything goes at once when the import ends. What it
 * gets has passed the scan, so its size is bounded and its depth harmless.
 */
#define _POSIX_C_SOURCE 200809L
#include "frontend/onnx/load.h"
#include "ir/base/outfile.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void unmap(void *user) {
    xfc_mapping *m = user;
    munmap((void *)(uintptr_t)m->data, m->n);
}

static xfc_status map_open_file(xfc_ctx *ctx, xfc_loc loc, int fd, const char *path, xfc_mapping *out) {
    struct stat st;
    if (fstat(fd, &st) != 0) return xfc_fail(ctx, XFC_ERR_IO, loc, "cannot read '%s': %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) return xfc_fail(ctx, XFC_ERR_IO, loc, "'%s' is a folder; give the file in it", path);
    if (!S_ISREG(st.st_mode)) return xfc_fail(ctx, XFC_ERR_IO, loc, "'%s' is not a regular file", path);
    xfc_note_read(ctx, &st);
    *out = (xfc_mapping){.data = (const uint8_t *)"", .n = (size_t)st.st_size};
    if (!out->n) return XFC_OK;
    void *data = mmap(NULL, out->n, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) return xfc_fail(ctx, XFC_ERR_IO, loc, "cannot map '%s': %s", path, strerror(errno));
    out->data = data;
    xfc_ctx_at_exit(ctx, unmap, xfc_memdup(ctx->arena, out, sizeof *out, _Alignof(xfc_mapping)));
    return XFC_OK;
}

xfc_status xfc_map_path(xfc_ctx *ctx, xfc_loc loc, const char *path, xfc_mapping *out) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block before it is refused */
    if (fd < 0) return xfc_fail(ctx, XFC_ERR_IO, loc, "cannot open '%s': %s", path, strerror(errno));
    xfc_status status = map_open_file(ctx, loc, fd, path, out);
    close(fd);
    return status;
}

static void *arena_alloc(void *user, size_t size) { return xfc_alloc(user, size, _Alignof(max_align_t)); }
static void arena_free(void *user, void *pointer) {
    (void)user;
    (void)pointer;
}

static ProtobufCMessage *unpack(xfc_onnx_file *f, xfc_mapping m, xfc_pb_root root,
                                const ProtobufCMessageDescriptor *d) {
    xfc_loc loc = {.file = f->path};
    if (!m.n && root != XFC_PB_SEQUENCE && root != XFC_PB_OPTIONAL) { /* which may hold nothing */
        xfc_fail(f->ctx, XFC_ERR_INPUT, loc, "the file is empty; copy or export it again");
        return NULL;
    }
    const char *foreign = xfc_foreign_file(f->arena, m);
    if (foreign) {
        xfc_fail(f->ctx, XFC_ERR_INPUT, loc, "not a readable ONNX file: it is %s", foreign);
        return NULL;
    }
    if (xfc_onnx_scan(f->ctx, f->arena, loc, root, m.data, m.n, &f->scan) != XFC_OK) return NULL;
    ProtobufCAllocator allocator = {.alloc = arena_alloc, .free = arena_free, .allocator_data = f->arena};
    ProtobufCMessage *message = protobuf_c_message_unpack(d, &allocator, f->scan.n_thin, f->scan.thin);
    if (!message)
        xfc_fail(f->ctx, XFC_ERR_INPUT, loc, "not a readable ONNX file: malformed message; copy or export it again");
    return message;
}

Onnx__ModelProto *xfc_unpack_model(xfc_onnx_file *f, xfc_mapping m) {
    return (Onnx__ModelProto *)unpack(f, m, XFC_PB_MODEL, &onnx__model_proto__descriptor);
}

Onnx__TensorProto *xfc_unpack_tensor(xfc_onnx_file *f, xfc_mapping m) {
    return (Onnx__TensorProto *)unpack(f, m, XFC_PB_TENSOR, &onnx__tensor_proto__descriptor);
}

Onnx__SequenceProto *xfc_unpack_sequence(xfc_onnx_file *f, xfc_mapping m) {
    return (Onnx__SequenceProto *)unpack(f, m, XFC_PB_SEQUENCE, &onnx__sequence_proto__descriptor);
}

Onnx__OptionalProto *xfc_unpack_optional(xfc_onnx_file *f, xfc_mapping m) {
    return (Onnx__OptionalProto *)unpack(f, m, XFC_PB_OPTIONAL, &onnx__optional_proto__descriptor);
}
