/* padding.c - elements that add nothing, at the end of what is reduced, change no bit of the result.
 *
 * Padding removal promises the same bits at any width of the batch. So what a reduction makes of s numbers must be what
 * it makes of them with zeros (ones in products) behind them: for every length and width up to some turns of all
 * banks, for one and two reduced axes, for bodies with banks and without, on every ISA of this CPU.
 */
#include "backends/llvm/llvm.h"
#include "ir/text/text.h"
#include "runtime/include/xfc/abi.h"
#include "tests/codegen/load.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 3, LONGEST = 150, WIDER = 70, N_OUT = 5 };

static const char text[] =
    "graph @padding[s in 0..512](%x: f32[3, s], %y: f32[3, s]) -> (f32[3] \"a\", f32[] \"b\", f32[3] \"c\", f32[3] "
    "\"d\", f32[] \"e\") stage scheduled {\n"
    "  %a, %b, %c, %d, %e = kernel \"reduce\" %x, %y : f32[3], f32[], f32[3], f32[3], f32[] {\n"
    "    nest i in 3, k in s reduce vector { v = load f32 %x[i, k]\n store add %a[i] = v\n }\n"
    "    nest i in 3 reduce, k in s reduce vector { v = load f32 %x[i, k]\n store add %b[] = v\n }\n"
    "    nest i in 3, k in s reduce vector { v = load f32 %y[i, k]\n store mul %c[i] = v\n }\n"
    "    nest i in 3, k in s reduce vector { v = load f32 %x[i, k]\n t = const f32 3\n q = div f32 v, t\n store add "
    "%d[i] = q\n }\n"
    "    nest i in 3 reduce, k in s reduce vector { v = load f32 %x[i, k]\n m = load f32 %y[i, k]\n o = const f32 1\n "
    "z = sub f32 m, o\n q = mul f32 z, v\n store add %e[] = q\n }\n"
    "  }\n  return %a, %b, %c, %d, %e\n}\n";

/* The same numbers at every width: element k of row i, of x or of y. */
static float number(int i, int k, bool y) {
    uint32_t v = (uint32_t)(i * 1000 + k * 2 + y + 1) * 2654435761u;
    float f = (float)(int32_t)(v >> 8 & 0xffff) / 65536.0f - 0.5f;
    return y ? 1 + f / 8 : f;
}

static void run(xf_kernel_fn fn, int64_t s, int64_t width, float *out) {
    float *x = calloc((size_t)(2 * ROWS * width + 1), sizeof *x), *y = x + ROWS * width;
    for (int i = 0; i < ROWS; i++) {
        for (int k = 0; k < width; k++) {
            x[i * width + k] = k < s ? number(i, k, false) : 0;
            y[i * width + k] = k < s ? number(i, k, true) : 1;
        }
    }
    int32_t error = 0;
    void *buffers[2 + N_OUT] = {x, y, out, out + 3, out + 4, out + 7, out + 10};
    xf_frame frame = {.values = &width, .buffers = buffers, .error = &error};
    if (fn(&frame, 0, 1, 0) != 0 || error) abort();
    free(x);
}

static int check(xf_kernel_fn fn, const char *isa) {
    for (int64_t s = 0; s <= LONGEST; s++) {
        float want[11], got[11];
        run(fn, s, s, want);
        for (int64_t width = s + 1; width <= s + WIDER; width++) {
            run(fn, s, width, got);
            for (int i = 0; i < 11; i++) {
                if (memcmp(&got[i], &want[i], sizeof got[i]) == 0) continue;
                printf("FAIL %s: result %d of %lld numbers is %.9g, %.9g in width %lld\n", isa, i, (long long)s,
                       (double)want[i], (double)got[i], (long long)width);
                return 1;
            }
        }
    }
    return 0;
}

static xfc_status compile(xfc_ctx *ctx, const char *isa, int level, xfc_blob *object) {
    xfc_emit e;
    xfc_target target;
    LLVMValueRef fn;
    xfc_graph *g = xfc_parse_graph(ctx, text, strlen(text), "padding");
    if (!g) return XFC_ERR_INPUT;
    const xfc_int s = xfc_int_symbol(ctx, "s", 0, 0);
    XFC_TRY(xfc_backend_find("cpu")->configure(ctx, &target, isa));
    XFC_TRY(xfc_emit_begin(&e, ctx, &target, level, "test"));
    xfc_emit_symbols(&e, &s, 1);
    XFC_TRY(xfc_emit_kernel(&e, g->first->kernel, "kernel", &fn));
    LLVMSetLinkage(fn, LLVMExternalLinkage);
    XFC_TRY(xfc_emit_finish(&e, "obj", object));
    xfc_emit_end(&e);
    xfc_graph_free(g);
    return XFC_OK;
}

int main(void) {
    static const char *const isas[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4"};
    int failed = 0;
    for (size_t k = 0; k < XFC_COUNT(isas) * 2; k++) {
        const char *isa = isas[k / 2];
        if (!test_cpu_has(isa)) {
            printf("SKIP %s: this CPU lacks it\n", isa);
            continue;
        }
        xfc_ctx *ctx = xfc_ctx_new();
        xfc_blob object;
        if (compile(ctx, isa, k % 2 ? 2 : 0, &object) != XFC_OK) {
            xfc_diags_print(ctx, stdout, false);
            return 1;
        }
        failed += check(test_function(test_load(&object), "kernel"), isa);
        free(object.data);
        xfc_ctx_free(ctx);
    }
    printf("padding: %s\n", failed ? "FAIL" : "ok");
    return failed != 0;
}
