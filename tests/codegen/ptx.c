/* ptx.c - kernels as PTX text: what must be in it, and that ptxas takes it for sm_80.
 *
 * ptx [PTXAS]: without the assembler the text is still checked, then the test says so and is skipped (77).
 */
#include "backends/llvm/llvm.h"
#include "ir/text/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char text[] =
    "graph @gpu[b in 0..64, s in 0..512](%x: f16[b, s], %ids: i64[b], %w: f32[7, s], %d: f64[b, s]) -> (f16[b, s] "
    "\"o\", f32[b, s] \"p\", "
    "f64[b, s] \"q\", bf16[b, s] \"r\") stage scheduled {\n"
    "  %o = kernel \"rows\" %x : f16[b, s] {\n"
    "    axis t in b threads\n    temp $0: f32[]\n    temp $1: f32[]\n    temp $2: f32[s]\n"
    "    nest c in s reduce vector { a = load f16 %x[t, c]\n f = cast f32 a\n store max $0[] = f\n }\n"
    "    nest c in s reduce vector { a = load f16 %x[t, c]\n f = cast f32 a\n m = load f32 $0[]\n g = sub f32 f, m\n e "
    "= exp f32 g\n"
    "      store $2[c] = e\n store add $1[] = e\n }\n"
    "    nest c in s vector { e = load f32 $2[c]\n n = load f32 $1[]\n q = div f32 e, n\n h = cast f16 q\n store %o[t, "
    "c] = h\n }\n"
    "  }\n"
    "  %p = kernel \"map\" %ids, %w : f32[b, s] {\n"
    "    axis t in b threads\n    axis c in s threads\n"
    "    nest { n = load i64 %ids[t]\n m = let k = n in 0..6 wrap\n a = load f32 %w[k, c]\n e = erf f32 a\n s0 = sin "
    "f32 e\n l = log f32 s0\n"
    "      z = tanh f32 l\n y = pow f32 z, a\n r = round f32 y\n u = mod f32 r, a\n store %p[t, c] = u\n }\n"
    "  }\n"
    "  %q = kernel \"map\" %d : f64[b, s] {\n"
    "    axis t in b threads\n    nest c in s vector { a = load f64 %d[t, c]\n r = sqrt f64 a\n n = max f64 r, a\n q = "
    "div f64 n, a\n store %q[t, c] = q\n }\n"
    "  }\n"
    "  %r = kernel \"map\" %x : bf16[b, s] {\n"
    "    axis t in b threads\n    nest c in s vector { a = load f16 %x[t, c]\n h = cast bf16 a\n i = cast i8 a\n j = "
    "cast bf16 i\n k = div bf16 h, j\n store %r[t, c] = k\n }\n"
    "  }\n"
    "  return %o, %p, %q, %r\n}\n";

static const char unsupported[] = "graph @gpu[b in 0..64](%d: f64[b]) -> (f64[b] \"o\") stage scheduled {\n"
                                  "  %o = kernel \"map\" %d : f64[b] {\n    axis t in b threads\n    nest { a = load "
                                  "f64 %d[t]\n e = exp f64 a\n store %o[t] = e\n }\n  }\n"
                                  "  return %o\n}\n";

static void free_graph(void *g) { xfc_graph_free(g); }

static xfc_status compile(xfc_ctx *ctx, const char *source, xfc_blob *out) {
    xfc_graph *g = xfc_parse_graph(ctx, source, strlen(source), "gpu.xf");
    if (!g) return XFC_ERR_INPUT;
    xfc_ctx_at_exit(ctx, free_graph, g);
    xfc_int symbol[2] = {xfc_int_symbol(ctx, "b", 0, 0), xfc_int_symbol(ctx, "s", 0, 0)};
    xfc_emit e;
    xfc_target target;
    char name[32];
    int number = 0;
    XFC_TRY(xfc_backend_find("cuda")->configure(ctx, &target, "sm_80"));
    XFC_TRY(xfc_emit_begin(&e, ctx, &target, 2, "gpu"));
    xfc_emit_symbols(&e, symbol, 2);
    xfc_status s = XFC_OK;
    xfc_foreach_op(op, g) {
        LLVMValueRef fn;
        if (op->code != XFC_OP_KERNEL || s != XFC_OK) continue;
        snprintf(name, sizeof name, "kernel_%d", number++);
        s = xfc_emit_kernel(&e, op->kernel, name, &fn);
    }
    if (s == XFC_OK) s = xfc_emit_finish(&e, "ptx", out);
    xfc_emit_end(&e);
    return s;
}

static int expect(const char *ptx, const char *what, bool present) {
    if ((strstr(ptx, what) != NULL) == present) return 0;
    printf("FAIL the PTX %s '%s'\n", present ? "lacks" : "has", what);
    return 1;
}

static int assemble(const char *ptxas, const xfc_blob *ptx) {
    const char *base = getenv("TMPDIR");
    char file[256], command[1024];
    snprintf(file, sizeof file, "%s/xfc-test-%p.ptx", base ? base : "/tmp", (const void *)&file);
    FILE *f = fopen(file, "wb");
    if (!f || fwrite(ptx->data, 1, ptx->n, f) != ptx->n || fclose(f)) return 1;
    snprintf(command, sizeof command, "'%s' -arch=sm_80 '%s' -o /dev/null", ptxas, file);
    int failed = system(command);
    remove(file);
    if (failed) printf("FAIL ptxas refuses the text\n");
    return failed != 0;
}

int main(int argc, char **argv) {
    xfc_ctx *ctx = xfc_ctx_new();
    xfc_blob ptx = {0};
    if (compile(ctx, text, &ptx) != XFC_OK) {
        xfc_diags_print(ctx, stdout, false);
        return 1;
    }
    char *z = calloc(ptx.n + 1, 1);
    memcpy(z, ptx.data, ptx.n);
    int failed =
        expect(z, ".target sm_80", true) + expect(z, ".entry kernel_0", true) + expect(z, ".entry kernel_3", true);
    failed += expect(z, "ld.global", true) + expect(z, "fma.rn.f32", true) + expect(z, "atom", true);
    failed += expect(z, "approx", false) + expect(z, ".ftz", false) + expect(z, "call", false);
    xfc_blob none = {0};
    if (compile(ctx, unsupported, &none) != XFC_ERR_UNSUPPORTED) {
        xfc_diags_print(ctx, stdout, false);
        printf("FAIL exp of f64 is not refused\n");
        failed++;
    }
    if (getenv("XFC_TEST_PRINT")) fputs(z, stdout);
    bool skip = argc < 2 || strstr(argv[1], "NOTFOUND");
    if (!skip) failed += assemble(argv[1], &ptx);
    free(z);
    free(ptx.data);
    xfc_ctx_free(ctx);
    if (failed) return 1;
    if (skip) puts("SKIP: ptxas is not installed, so nothing has assembled the PTX; pip install nvidia-cuda-nvcc");
    return skip ? 77 : 0;
}
