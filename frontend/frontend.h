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

/* TensorProto files of ONNX test data (xf-run, tests): name may be NULL in the file. */
xfc_status xfc_read_tensor_pb(xfc_ctx *, const char *path, const xfc_tensor **out);

#endif
