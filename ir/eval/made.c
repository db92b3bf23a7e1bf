/* made.c - makes a constant by a call of a routine (made.h), as `open` will, but on all processors. */
#include "ir/made.h"
#include "ir/base/parallel.h"
#include "ir/eval/eval.h"
#include "runtime/kernels/routines.h"

typedef struct {
    const xk_routine *routine;
    xk_call call;
    char *scratch;
    int64_t stride, tasks, each; /* each: tasks of one share */
} job;

static void run_share(void *arg, int64_t i) {
    const job *j = arg;
    int64_t begin = i * j->each, end = begin + j->each < j->tasks ? begin + j->each : j->tasks;
    j->routine->run(&j->call, begin, end, j->scratch + i * j->stride);
}

static void run(job *j) {
    enum { SHARES = 16, ALIGN = 64 };
    const xk_work work = j->routine->work(&j->call);
    xfc_assert(work.tasks > 0);
    xfc_arena *scratch = xfc_arena_new();
    j->tasks = work.tasks;
    j->each = (work.tasks + SHARES - 1) / SHARES;
    j->stride = (work.scratch + ALIGN - 1) / ALIGN * ALIGN;
    j->scratch = xfc_alloc(scratch, (size_t)(j->stride * SHARES) + 1, ALIGN);
    xfc_parallel((j->tasks + j->each - 1) / j->each, run_share, j);
    xfc_arena_free(scratch);
}

const xfc_tensor *xfc_tensor_make(xfc_ctx *ctx, int64_t rows, int64_t columns, const xfc_made *made) {
    const int64_t dim[2] = {rows, columns};
    const xk_number number = {.i = made->number};
    void *data = xfc_tensor_alloc(ctx, XFC_F32, 2, dim);
    xk_array array[XFC_MADE_OPERANDS + 1];
    for (uint32_t i = 0; i < made->n_in; i++) {
        const xfc_tensor *t = made->in[i];
        array[i] = (xk_array){(void *)(uintptr_t)t->data, t->dim, t->rank, xfc_dtype_dlpack(t->dtype)};
    }
    array[made->n_in] = (xk_array){data, dim, 2, xfc_dtype_dlpack(XFC_F32)};
    run(&(job){.routine = xk_routines[xfc_routine_number(made->routine)], .call = {array, &number}});
    const xfc_tensor *t = xfc_tensor_new(ctx, XFC_F32, 2, dim, data, NULL);
    xfc_tensor_mark(ctx, t, xfc_dup_array(ctx->arena, xfc_made, made, 1));
    return t;
}
