/* attention.h - what the attention operators of ONNX and of com.microsoft share: heads, masks, the product, angles.
 *
 * Values may be NULL after a failure, as everywhere in the importer.
 */
#ifndef XFC_ONNX_ATTENTION_H
#define XFC_ONNX_ATTENTION_H
#include "frontend/onnx/import.h"

typedef struct {
    xfc_value *q, *k, *v;  /* [batch, heads, rows, width] */
    xfc_value *add, *keep; /* additive bias or NULL; condition or NULL; both broadcast to [batch, heads, rows, keys] */
    xfc_value *sink; /* one score more of each row, of no key, as it broadcasts to [batch, heads, rows, 1]; or NULL */
    double scale, softcap;
    bool may_be_empty;           /* a mask may leave a row without keys: its result is 0, not NaN */
    xfc_dtype products, softmax; /* their types, where they are spelled out */
    xfc_value *(*modified)(xfc_node *, const char *of, xfc_value *); /* then also "score_mod" and "prob_mod"; or NULL */
} xfc_heads;

/* [batch, rows, heads * width] to [batch, heads, rows, width]; rank 4 is that already. And back. */
xfc_value *xfc_n_split_heads(xfc_node *, xfc_value *, int64_t heads);
xfc_value *xfc_n_join_heads(xfc_node *, xfc_value *);
/* Keys and values of a group are shared by several query heads: [b, g, t, d] to [b, g * r, t, d], each head r times. */
xfc_value *xfc_n_repeat_heads(xfc_node *, xfc_value *, xfc_int heads);
/* A cache of `keys` rows along axis: the past with the new rows from first[batch] on. used: behind them are zeros, where the
 * past lies in the same memory up to that row; NULL: what the past has there. */
xfc_value *xfc_n_append(xfc_node *, xfc_value *past, xfc_value *rows, xfc_value *first, uint32_t axis, xfc_int keys,
                        const xfc_int *used);
/* A mask, or bias, with `fill` for the keys that it does not cover. */
xfc_value *xfc_n_pad_keys(xfc_node *, xfc_value *, xfc_int keys, double fill);
/* start, start + 1, ... broadcast over [batch, heads, rows, keys]: axis 2 numbers rows, axis 3 keys. */
xfc_value *xfc_n_numbers(xfc_node *, xfc_int size, xfc_int start, uint32_t axis);
void xfc_n_only_if(xfc_node *, xfc_heads *, xfc_value *condition); /* one more */
/* given: what the operator says, or NAN: one over the root of the width of a head, of q that is multiplied where only
 * the run knows it. */
void xfc_n_set_scale(xfc_node *, xfc_heads *, double given);

/* contrib_attention.c: queries, keys and values that stand side by side, [batch, rows, all], split into heads, with the
 * bias of operand 2 in front; their widths follow from the weights, operand 1, or "qkv_hidden_sizes". False: failed. */
bool xfc_n_parts_of(xfc_node *, xfc_value *all, xfc_value *part[3]);

/* cache_form.c: how a cache of `type` or of few bits is stored, as the attribute and kv_cache_bit_width say; its scale is an
 * operand, which broadcasts to [batch, heads, rows, width]. False: the node has failed. Rows as that stores them, and back. */
typedef struct {
    xfc_dtype type; /* of an element of the cache */
    int64_t bits;   /* 0: they are floats */
    xfc_value *scale;
} xfc_cache_form;
bool xfc_n_cache_form(xfc_node *, const char *attr, uint32_t scale, xfc_dtype type, xfc_cache_form *out);
xfc_int xfc_n_cache_width(const xfc_node *, const xfc_cache_form *,
                          xfc_int width); /* elements that hold so many numbers */
xfc_value *xfc_n_to_cache(xfc_node *, const xfc_cache_form *, xfc_value *rows);
xfc_value *xfc_n_from_cache(xfc_node *, const xfc_cache_form *, xfc_value *rows, xfc_dtype to);

/* blocks.c: bool[batch, heads, rows, keys], which of the keys a row at position i64[batch or 1, rows] sees by the layouts of
 * operands rows_in and columns_in; NULL: the node has failed. */
xfc_value *xfc_n_block_mask(xfc_node *, uint32_t rows_in, uint32_t columns_in, int64_t heads, xfc_value *position,
                            xfc_int keys);

/* The scores at the stages of their way: products, capped, masked, and as weights. */
typedef struct {
    xfc_value *score[4];
} xfc_stages;
/* [batch, heads, rows, width]. stages: filled, and the product is spelled out; or NULL. */
xfc_value *xfc_n_attend(xfc_node *, xfc_heads *, xfc_stages *stages);

/* Rows of a table of angles [n, half] at positions i64[batch, rows], or the table [batch, rows, half] itself. */
xfc_value *xfc_n_angles(xfc_node *, xfc_value *table, xfc_value *positions);
/* x with the first `width` elements of each head turned by angles; head_axis is 1 or 2, the other of both is rows. */
xfc_value *xfc_n_turn(xfc_node *, xfc_value *x, xfc_value *cos, xfc_value *sin, xfc_int width, bool neighbours,
                      uint32_t head_axis);

#endif
