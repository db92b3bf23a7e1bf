/* frontend.h - model files to graphs. */
#ifndef XFC_FRONTEND_H
#define XFC_FRONTEND_H
#include "ir/build.h"

typedef struct {
    /* "NAME=N" or "NAME=LO..HI": fixes or bounds a dim_param (--dim). */
    const char *const *dims;
    uint32_t n_dims;
    /* "INPUT=1x128" or "INPUT=?x1..512x768": overrides an input's dims (--shape). */
    const char *const *shapes;
    uint32_t n_shapes;
    bool overridable;  /* initializers that are also inputs stay inputs with a default (off: constants) */
    bool follow_links; /* external data may be a symbolic link (Hugging Face caches) */
    /* NULL, or where to put a second graph of the model in which dims of inputs that meet in broadcasting are the same;
     * NULL if there are none, or that is impossible. */
    xfc_graph **equal;
} xfc_import_opts;

/* Reads FILE (.onnx; anything else is tried as ONNX). NULL after errors, all of which are recorded: every
 * unsupported node of the model is reported in one run. The file stays mapped as long as the context lives. */
xfc_graph *xfc_import_file(xfc_ctx *, const char *path, const xfc_import_opts *);

/* The same from memory; name is the file name of messages, and external data is looked for beside it. data must
 * outlive the context. */
xfc_graph *xfc_import_memory(xfc_ctx *, const char *name, const void *data, size_t n, const xfc_import_opts *);

/* What an input or output is that is not one tensor: metadata XFC_BORDER_META "NAME" says so. Its parts follow one
 * another: NAME, the elements of all tensors; NAME.shapes, i64[length, rank] with the dims of each, filled up with -1;
 * of an optional sequence also NAME.present, bool[]. An optional tensor has a length of at most 1. Of strings, text:
 * NAME, u8[size], one behind the other, and NAME.lengths, i64 with the dims of the tensor. */
#define XFC_BORDER_META "type:"
typedef enum {
    XFC_BORDER_TENSOR,
    XFC_BORDER_SEQUENCE,
    XFC_BORDER_OPTIONAL,
    XFC_BORDER_OPTIONAL_SEQUENCE,
    XFC_BORDER_TEXT
} xfc_border;
enum { XFC_BORDER_MOST = 3 };
xfc_border xfc_border_of(const char *meta); /* NULL: a tensor */
uint32_t xfc_border_parts(xfc_border);

/* Files of ONNX test data as the parts of an input or output. empty: the element type if the file has no tensor, rank:
 * the least of the rows of dims. */
xfc_status xfc_read_parts_pb(xfc_ctx *, const char *path, xfc_border, xfc_dtype empty, int64_t rank,
                             const xfc_tensor *out[XFC_BORDER_MOST]);
/* TensorProto files of ONNX test data (xf-run, tests): name may be NULL in the file. */
xfc_status xfc_read_tensor_pb(xfc_ctx *, const char *path, const xfc_tensor **out);

#endif
