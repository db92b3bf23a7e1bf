/* emit.c - prints the code of every kernel of a .xf file: emit ISA WHAT FILE, e.g. emit x86-64-v4 asm rows.xf; "sm_80"
 * for PTX.
 *
 * For text tests: unlike the drivers it needs no plan, so a kernel can be shown alone. Graph symbols are numbered in
 * the order of their first use in the inputs' dims.
 */
#include "backends/llvm/llvm.h"
#include "ir/text/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char *read_file(const char *name, size_t *n) {
    FILE *f = fopen(name, "rb");
    char *text = calloc(1, 1 << 20);
    *n = f ? fread(text, 1, (1 << 20) - 1, f) : 0;
    if (f) fclose(f);
    return text;
}

static uint32_t input_symbols(const xfc_graph *g, xfc_int *out, uint32_t cap) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_in; i++) {
        const xfc_type *t = &g->in[i]->type;
        for (uint32_t d = 0; d < t->rank; d++) {
            uint32_t k = 0;
            while (k < n && !xfc_int_same(out[k], t->dim[d])) k++;
            if (k == n && n < cap && xfc_int_look(g->ctx, t->dim[d])->kind == XFC_INT_SYMBOL) out[n++] = t->dim[d];
        }
    }
    return n;
}

static xfc_status emit_all(xfc_emit *e, const xfc_graph *g) {
    int number = 0;
    xfc_foreach_op(op, g) {
        LLVMValueRef fn;
        char name[32];
        if (op->code != XFC_OP_KERNEL) continue;
        snprintf(name, sizeof name, "kernel_%d", number++);
        XFC_TRY(xfc_emit_kernel(e, op->kernel, name, &fn));
        LLVMSetLinkage(fn, LLVMExternalLinkage);
    }
    return XFC_OK;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    size_t n;
    char *text = read_file(argv[3], &n);
    xfc_ctx *ctx = xfc_ctx_new();
    xfc_graph *g = xfc_parse_graph(ctx, text, n, argv[3]);
    xfc_emit e = {0};
    xfc_target target;
    xfc_blob out = {0};
    xfc_int symbols[16];
    bool gpu = strncmp(argv[1], "sm_", 3) == 0;
    xfc_status s = g ? xfc_backend_find(gpu ? "cuda" : "cpu")->configure(ctx, &target, argv[1]) : XFC_ERR_INPUT;
    if (s == XFC_OK) {
        s = xfc_emit_begin(&e, ctx, &target, 2, "test");
        xfc_emit_symbols(&e, symbols, input_symbols(g, symbols, 16));
    }
    clock_t start = clock();
    if (s == XFC_OK) s = emit_all(&e, g);
    if (s == XFC_OK) s = xfc_emit_finish(&e, argv[2], &out);
    if (getenv("XFC_TEST_TIME")) fprintf(stderr, "%.1f ms\n", (double)(clock() - start) * 1e3 / CLOCKS_PER_SEC);
    if (e.llvm) xfc_emit_end(&e);
    xfc_diags_print(ctx, stderr, false);
    if (out.data) fwrite(out.data, 1, out.n, stdout);
    free(out.data);
    free(text);
    xfc_ctx_free(ctx);
    return s != XFC_OK;
}
