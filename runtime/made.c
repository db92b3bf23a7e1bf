/* made.c - weights that are not stored but made when the model is opened, by routines of runtime/kernels.
 *
 * A table behind the header of the weights says how (xf_made of abi.h): each row is a call of a routine, whose operands lie
 * in the file behind the weights that steps read as they are. Results have memory of their own, as long as the model is
 * open; contexts share it. The routine is the one with which the compiler made the same numbers, so the bits are the same.
 * plan.c saw that what a row names lies inside; whether its sizes go together the routine itself says.
 */
#include "runtime/kernels/routines.h"
#include "runtime/runtime.h"
#include "xfc/check.h"
#include <stdlib.h>
#include <string.h>

_Static_assert((int)XF_MADE_OPERANDS < (int)XK_MAX_ARRAYS, "a call has room for them");

typedef struct { /* a row with its arrays */
    const xk_routine *routine;
    xk_array array[XF_MADE_OPERANDS + 1];
    xk_i64 dim[XF_MADE_OPERANDS + 1][XF_MADE_RANK];
    xk_number number;
} job;

static bool ranks_ok(const job *j) {
    for (const char *rank = j->routine->ranks; *rank; rank++)
        if (*rank != '.' && j->array[rank - j->routine->ranks].rank != (xk_u32)(*rank - '0')) return false;
    return true;
}

/* False: this artefact has no such routine, or it takes other arrays. */
static bool describe(const xf_model *m, const xf_made *row, job *j) {
    const uint32_t n = row->n_operands;
    const unsigned char *made = m->made;
    j->routine = row->routine < xk_n_routines ? xk_routines[row->routine] : NULL;
    j->number.i = row->number;
    if (!j->routine || j->routine->n_in != n || j->routine->n_out != 1 || j->routine->n_numbers != 1) return false;
    for (uint32_t i = 0; i <= n; i++) {
        const xf_made_array *a = &row->array[i];
        const unsigned char *at = i < n ? m->weights + a->offset : made + (a->offset - m->stored);
        for (uint32_t d = 0; d < XF_MADE_RANK; d++) j->dim[i][d] = d < a->rank ? (xk_i64)a->dim[d] : 0;
        j->array[i] = (xk_array){(void *)(uintptr_t)at, j->dim[i], a->rank, a->dtype};
    }
    return ranks_ok(j);
}

static xf_status make(const xf_model *m, const xf_made *row, const char *from, xf_error *error) {
    job j;
    if (!describe(m, row, &j))
        return xf_fail(error, XF_E_IO, "%s: weights are made by a routine that this model does not have", from);
    const xk_call call = {j.array, &j.number};
    const xk_work work = j.routine->work(&call);
    if (work.tasks <= 0 || work.scratch < 0)
        return xf_fail(error, XF_E_IO, "%s: sizes in the table of weights that are made do not go together", from);
    void *scratch = xf_weights_room((uint64_t)work.scratch, error);
    if (!scratch) return XF_E_NOMEM;
    j.routine->run(&call, 0, work.tasks, scratch);
    free(scratch);
    const xk_array *made = &j.array[row->n_operands];
    const size_t bytes = (size_t)xk_count(made) * (made->dtype >> 8 & 0xffu) / 8;
    if (m->verify && xf_crc32c(0, made->data, bytes) != row->sum)
        return xf_fail(error, XF_E_IO, "%s: a weight that was made is not what xfc made", from);
    return XF_OK;
}

xf_status xf_made_open(xf_model *m, const unsigned char *section, const xf_weights_header *h, const char *from,
                       xf_error *error) {
    const uint64_t bytes = xf_model_plan(m)->head->weight_bytes - m->stored;
    m->made = xf_weights_room(bytes, error);
    if (!m->made) return XF_E_NOMEM;
    memset(m->made, 0, (size_t)bytes); /* what no row makes */
    for (uint32_t i = 0; i < h->n_made; i++) {
        const xf_made row = xf_made_row(section, i);
        XF_TRY(make(m, &row, from, error));
    }
    return XF_OK;
}
