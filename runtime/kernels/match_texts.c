/* match_texts.c - which texts an automaton accepts.
 *
 * Operands: bytes u8 [s], starts i64 [n], lengths i64 [n] of texts; of which class a byte is, u8 [256]; i32 [m, k], for
 * each state the one that follows by the class of the next byte, -1: none, and last whether a text may end there, 1: it
 * may. State 0 is the first. Result: bool [n]. States and classes that are not there accept nothing.
 */
#include "runtime/kernels/texts.h"

xk_work xk_match_texts_work(const xk_call *c) { return (xk_work){.tasks = c->array[1].dim[0], .grain = 64}; }

void xk_match_texts(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const xk_texts t = xk_texts_of(c->array);
    const unsigned char *class_of = c->array[3].data;
    const xk_i32 *next = c->array[4].data;
    const xk_i64 states = c->array[4].dim[0], columns = c->array[4].dim[1];
    unsigned char *out = c->array[5].data;
    (void)scratch;
    for (xk_i64 i = begin; i < end; i++) {
        xk_i64 n, state = columns > 0 ? 0 : -1;
        const unsigned char *text = xk_text(&t, i, &n);
        for (xk_i64 k = 0; k < n && 0 <= state && state < states; k++) {
            xk_i64 class = class_of[text[k]];
            state = class < columns - 1 ? next[state * columns + class] : -1;
        }
        out[i] = 0 <= state && state < states && next[state * columns + columns - 1] == 1;
    }
}
