/* places.c - where the addresses of loads and stores lie: xfc_emit_load and xfc_emit_store for each kind of place.
 *
 * The buffer is a page between two without access. A probe is one load or store at an element, with lanes on and off;
 * it runs in a process of its own, in code that checks its addresses. It must read and write right, or trap: where a
 * lane that is on lies outside, and where the address that the instruction gets does though all lanes there are off.
 * The latter only a caller that breaks the rules of llvm.h can cause; without it nobody would know that the check
 * works.
 */
#define _DEFAULT_SOURCE
#include "backends/llvm/llvm.h"
#include "tests/codegen/load.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ELEMENTS = 1024, PAGE = 4096, STRIDE = 3, MOST = 16 };

typedef struct {
    xfc_lane_kind kind;
    bool store;
    enum { NO_MASK, ONE, LANES, LIVE } mask; /* ONE: the same for all lanes; LIVE: of a partial vector */
} form;
static const form forms[] = {
    {XFC_LANES_NEXT, false, NO_MASK}, {XFC_LANES_NEXT, false, ONE},   {XFC_LANES_NEXT, false, LANES},
    {XFC_LANES_NEXT, false, LIVE},    {XFC_LANES_EACH, false, LANES}, {XFC_LANES_SAME, false, LANES},
    {XFC_LANES_NEXT, true, LIVE},     {XFC_LANES_EACH, true, LANES},  {XFC_LANES_NEXT, true, ONE},
};

typedef enum { NONE, INSIDE, ALL } which; /* lanes that are on */
typedef struct {
    uint32_t form;
    int64_t at;
    which on;
    bool trap;
} probe;
static const probe probes[] = {
    {0, 0, ALL, false},
    {0, ELEMENTS - 1, ALL, true},
    {0, -1, ALL, true},
    {1, -5000, NONE, false},
    {1, 7, ALL, false},
    {1, -1, ALL, true},
    {2, -2, INSIDE, false},
    {2, -2, ALL, true},
    {2, -5000, NONE, false},
    {2, 5000, NONE, false},
    {2, ELEMENTS - 2, INSIDE, false},
    {2, ELEMENTS - 2, ALL, true},
    {3, ELEMENTS - 2, INSIDE, false},
    {3, ELEMENTS - 2, ALL, true},
    {3, -2, INSIDE, true},
    {3, -5000, NONE, true},
    {4, -4, INSIDE, false},
    {4, -4, ALL, true},
    {4, -5000, NONE, false},
    {4, ELEMENTS - 4, INSIDE, false},
    {4, ELEMENTS - 4, ALL, true},
    {5, -1, NONE, false},
    {5, -1, ALL, true},
    {5, 3, ALL, false},
    {6, ELEMENTS - 2, INSIDE, false},
    {6, ELEMENTS - 2, ALL, true},
    {6, -2, INSIDE, true},
    {7, -4, INSIDE, false},
    {7, -4, ALL, true},
    {7, 5000, NONE, false},
    {8, -5000, NONE, false},
    {8, 5000, ALL, true},
};
typedef void probe_fn(float *base, int64_t at, const int8_t *on, float *value);

static int64_t step_of(form f) { return f.kind == XFC_LANES_EACH ? STRIDE : f.kind == XFC_LANES_NEXT ? 1 : 0; }

/* --- code --- */

static LLVMValueRef mask_of(xfc_emit *e, form f, LLVMValueRef on) {
    LLVMTypeRef type = f.mask == ONE ? e->i8 : LLVMVectorType(e->i8, e->lanes);
    LLVMValueRef bytes = LLVMBuildLoad2(e->b, type, on, "");
    LLVMSetAlignment(bytes, 1);
    return LLVMBuildICmp(e->b, LLVMIntNE, bytes, LLVMConstNull(type), "");
}

static void emit_probe(xfc_emit *e, form f, const char *name) {
    LLVMTypeRef params[4] = {e->ptr, e->i64, e->ptr, e->ptr}, wide = LLVMVectorType(e->f32, e->lanes);
    e->fn = xfc_emit_function(e, name, LLVMFunctionType(e->none, params, 4, false));
    LLVMSetLinkage(e->fn, LLVMExternalLinkage);
    LLVMPositionBuilderAtEnd(e->b, xfc_emit_block(e, "entry"));
    LLVMValueRef base = LLVMGetParam(e->fn, 0), at = LLVMGetParam(e->fn, 1), value = LLVMGetParam(e->fn, 3);
    xfc_place_value p = {f.kind, xfc_emit_offset(e, base, e->f32, at), base,
                         xfc_emit_offset(e, base, e->f32, xfc_emit_const(e, ELEMENTS))};
    if (f.kind == XFC_LANES_EACH) {
        LLVMValueRef lane = xfc_emit_lane_numbers(e);
        LLVMValueRef index = LLVMBuildMul(e->b, lane, xfc_emit_number(e, LLVMTypeOf(lane), STRIDE), "");
        p.address = LLVMBuildGEP2(e->b, e->f32, p.address, &index, 1, "");
    }
    LLVMValueRef mask = f.mask == NO_MASK ? NULL : mask_of(e, f, LLVMGetParam(e->fn, 2));
    LLVMValueRef live = f.mask == LIVE ? mask : NULL;
    mask = f.mask == LIVE ? NULL : mask;
    if (f.store) {
        LLVMValueRef v = LLVMBuildLoad2(e->b, wide, value, "");
        LLVMSetAlignment(v, 4);
        xfc_emit_store(e, XFC_F32, p, v, mask, live);
    } else {
        LLVMSetAlignment(LLVMBuildStore(e->b, xfc_emit_load(e, XFC_F32, p, mask, live), value), 4);
    }
    LLVMBuildRetVoid(e->b);
}

static xfc_status compile(xfc_ctx *ctx, const char *isa, uint32_t *lanes, xfc_blob *object) {
    xfc_emit e;
    xfc_target target;
    char name[32];
    XFC_TRY(xfc_backend_find("cpu")->configure(ctx, &target, isa));
    target.checked = true;
    XFC_TRY(xfc_emit_begin(&e, ctx, &target, 2, "places"));
    for (size_t i = 0; i < XFC_COUNT(forms); i++) {
        snprintf(name, sizeof name, "probe_%d", (int)i);
        emit_probe(&e, forms[i], name);
    }
    *lanes = e.lanes;
    xfc_status s = xfc_emit_finish(&e, "obj", object);
    xfc_emit_end(&e);
    return s;
}

/* --- running --- */

static float *fenced_page(void) {
    char *p = mmap(NULL, 3 * (size_t)PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE) != 0) abort();
    return (float *)(void *)(p + PAGE);
}

static bool is_on(const probe *p, uint32_t lane) {
    int64_t at = p->at + (int64_t)lane * step_of(forms[p->form]);
    return p->on == ALL || (p->on == INSIDE && at >= 0 && at < ELEMENTS);
}

/* In the child: what was read or written is right. */
static bool run(probe_fn *fn, const probe *p, uint32_t lanes) {
    form f = forms[p->form];
    float *base = fenced_page(), value[MOST], want[ELEMENTS];
    int8_t on[MOST];
    for (int i = 0; i < ELEMENTS; i++) want[i] = base[i] = (float)(i + 1);
    for (uint32_t l = 0; l < lanes; l++) on[l] = is_on(p, l), value[l] = -(float)l - 1;
    fn(base, p->at, on, value);
    bool ok = true;
    for (uint32_t l = 0; l < lanes; l++) {
        int64_t at = p->at + (int64_t)l * step_of(f);
        if (f.store && on[l])
            want[at] = -(float)l - 1;
        else if (!f.store && (l == 0 || f.kind != XFC_LANES_SAME || f.mask == LANES))
            ok = ok && memcmp(&value[l], &(float){on[l] ? base[at] : 0}, sizeof *value) == 0;
    }
    return ok && memcmp(base, want, sizeof want) == 0;
}

static int check_probe(probe_fn *fn, const probe *p, uint32_t lanes, const char *isa) {
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        _exit(!run(fn, p, lanes));
    }
    if (child < 0 || waitpid(child, &status, 0) != child) abort();
    bool ok = p->trap ? WIFSIGNALED(status) && WTERMSIG(status) == SIGILL : status == 0;
    if (!ok) printf("FAIL %s: probe %d: status %d\n", isa, (int)(p - probes), status);
    return !ok;
}

static int check_isa(const char *isa) {
    xfc_ctx *ctx = xfc_ctx_new();
    xfc_blob object;
    uint32_t lanes = 0;
    char name[32];
    int failed = 0;
    if (compile(ctx, isa, &lanes, &object) != XFC_OK) {
        xfc_diags_print(ctx, stdout, false);
        return 1;
    }
    void *library = test_load(&object);
    free(object.data);
    for (size_t i = 0; i < XFC_COUNT(probes); i++) {
        probe_fn *fn;
        snprintf(name, sizeof name, "probe_%d", (int)probes[i].form);
        xf_kernel_fn any = test_function(library, name);
        memcpy(&fn, &any, sizeof fn);
        failed += check_probe(fn, &probes[i], lanes, isa);
    }
    xfc_ctx_free(ctx);
    return failed;
}

int main(void) {
    static const char *const isas[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4"};
    int failed = 0;
    for (size_t k = 0; k < XFC_COUNT(isas); k++)
        if (test_cpu_has(isas[k])) failed += check_isa(isas[k]);
    printf("places: %s\n", failed ? "FAIL" : "ok");
    return failed != 0;
}
