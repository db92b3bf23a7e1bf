/* sparse_proto.c - SparseTensorProto to a dense constant.
 *
 * values [n], and where each stands: indices i64, [n] as places in row-major order or [n, rank] as one index a dim. ONNX
 * wants them in rising order, none twice; what is not so is refused. All else is zero. A file may not ask for much more
 * memory than it has bytes: a tensor of over MOST elements a value is refused.
 */
#include "frontend/onnx/load.h"
#include <string.h>

enum { MOST = 256, FREE_ELEMENTS = 1 << 16 };

typedef struct {
    xfc_onnx_file *file;
    xfc_loc loc;
    const char *what;
    const xfc_tensor *value, *index;
    xfc_onnx_shape shape;
} sparse;

static bool read_dims(sparse *s, const Onnx__SparseTensorProto *p) {
    if (!xfc_onnx_shape_read(s->file, s->loc, s->what, s->value->dtype, p->dims, p->n_dims, &s->shape)) return false;
    if (s->shape.count <= FREE_ELEMENTS || s->shape.count / MOST <= s->value->count) return true;
    xfc_fail(s->file->ctx, XFC_ERR_LIMIT, s->loc, "%s has %lld elements for %lld values; the limit is %d for each",
             s->what, (long long)s->shape.count, (long long)s->value->count, MOST);
    return false;
}

static bool check_shapes(const sparse *s) {
    const xfc_tensor *v = s->value, *i = s->index;
    bool linear = i->rank == 1 && i->dim[0] == v->count,
         tuples = i->rank == 2 && i->dim[0] == v->count && i->dim[1] == (int64_t)s->shape.rank;
    if (v->rank == 1 && i->dtype == XFC_I64 && (linear || tuples)) return true;
    xfc_fail(s->file->ctx, XFC_ERR_INPUT, s->loc,
             "%s: its %lld values need as many i64 indices, [n] or [n, %u]; export the model again", s->what,
             (long long)v->count, (unsigned)s->shape.rank);
    return false;
}

/* Where value i stands; -1: outside. */
static int64_t place(const sparse *s, int64_t i) {
    const int64_t *index = s->index->data;
    int64_t at = 0;
    if (s->index->rank == 1) return index[i] >= 0 && index[i] < s->shape.count ? index[i] : -1;
    for (uint32_t d = 0; d < s->shape.rank; d++) {
        int64_t k = index[i * (int64_t)s->shape.rank + d];
        if (k < 0 || k >= s->shape.dim[d]) return -1;
        at = at * s->shape.dim[d] + k;
    }
    return at;
}

static bool scatter(const sparse *s, char *to) {
    size_t bytes = xfc_dtype_bytes(s->value->dtype);
    for (int64_t i = 0, last = -1; i < s->value->count; i++) {
        int64_t at = place(s, i);
        if (at <= last) {
            xfc_fail(s->file->ctx, XFC_ERR_INPUT, s->loc, "%s: index %lld %s; export the model again", s->what,
                     (long long)i, at < 0 ? "lies outside of its shape" : "is not larger than the one before it");
            return false;
        }
        memcpy(to + (size_t)at * bytes, (const char *)s->value->data + (size_t)i * bytes, bytes);
        last = at;
    }
    return true;
}

static const xfc_tensor *make(xfc_onnx_file *f, const Onnx__SparseTensorProto *p, xfc_loc loc, const char *what) {
    sparse s = {.file = f, .loc = loc, .what = what};
    if (!p->values || !p->indices) {
        xfc_fail(f->ctx, XFC_ERR_INPUT, loc, "%s has no %s; export the model again", what,
                 p->values ? "indices" : "values");
        return NULL;
    }
    s.value = xfc_onnx_tensor(f, p->values, loc, what);
    s.index = xfc_onnx_tensor(f, p->indices, loc, what);
    if (!s.value || !s.index || !read_dims(&s, p) || !check_shapes(&s)) return NULL;
    void *data = xfc_tensor_alloc(f->ctx, s.value->dtype, s.shape.rank, s.shape.dim);
    if (!scatter(&s, data)) return NULL;
    return xfc_tensor_new(f->ctx, s.value->dtype, s.shape.rank, s.shape.dim, data, s.value->name);
}

const xfc_tensor *xfc_onnx_sparse_tensor(xfc_onnx_file *f, const Onnx__SparseTensorProto *p, xfc_loc loc,
                                         const char *what) {
    const xfc_tensor *t = xfc_map_get_ptr(&f->tensors, p);
    if (!t && (t = make(f, p, loc, what)) != NULL) xfc_map_set_ptr(&f->tensors, p, t);
    return t;
}
