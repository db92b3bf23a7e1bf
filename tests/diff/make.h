/* make.h - what the makers of random ops share: sizes, operands, and the table's entries. Outside, use diff.h. */
#ifndef XFC_DIFF_MAKE_H
#define XFC_DIFF_MAKE_H
#include "tests/diff/diff.h"

enum { LIMIT = 6000, MACS = 150000 }; /* elements of a value, multiplications of a product */

/* --- make.c: sizes --- */

int64_t maker_most(const maker *, uint32_t rank, const xfc_int *dim); /* elements, over the rounds */
xfc_int maker_constant(const maker *, int64_t);
/* A dim behind those before it, so that the tensor still has at most `limit` elements; and all of them. */
xfc_int maker_dim(maker *, uint32_t before, const xfc_int *dim, int64_t limit);
void maker_dims(maker *, uint32_t rank, xfc_int *dim, int64_t limit);
xfc_int maker_twin(maker *, xfc_int dim); /* the same extent, perhaps another symbol */
/* Something that broadcasts with it: itself, 1, or a symbol that is one of the two in each round. */
xfc_int maker_partner(maker *, xfc_int dim);

/* --- make_operand.c: NULL where the number of inputs is used up --- */

/* Random elements of any type. NEAR_ONE: so that products of many stay finite; INDEX: from either end. */
void maker_fill(uint64_t *seed, xfc_dtype, void *data, int64_t n, diff_fill, int64_t bound, bool special);
xfc_value *maker_new_input(maker *, xfc_dtype, uint32_t rank, const xfc_int *dim, diff_fill, xfc_int bound);
xfc_value *maker_fresh(maker *, xfc_dtype, uint32_t rank, const xfc_int *dim, diff_fill, xfc_int bound);
xfc_value *maker_pick(maker *, xfc_dtype, uint32_t lo, uint32_t hi); /* of any shape with lo..hi dims */
xfc_value *maker_pick_exact(maker *, xfc_dtype, uint32_t rank, const xfc_int *dim);
xfc_value *maker_pick_broadcast(maker *, xfc_dtype, const xfc_value *with);
/* xfc_build; NULL if an operand is. */
xfc_value *maker_build(maker *, xfc_opcode, xfc_value *const *in, uint32_t n_in, const xfc_attr *, uint32_t n_attr);

/* --- make_ops.c, make_window.c, make_ragged.c, make_composite.c: what the table of make.c holds --- */

typedef xfc_value *make_fn(maker *, xfc_opcode, xfc_dtype);
make_fn make_pack_ragged, make_attention_ragged;                                         /* make_attention_ragged.c */
make_fn make_scatter_nd, make_scatter_elements;                                          /* make_scatter.c */
make_fn make_match_tokens, make_match_scores, make_match_ragged, make_merge_tokens;      /* make_tokens.c */
make_fn make_quantize, make_dequantize, make_matmul_integer, make_split_bits, make_bits; /* make_quantize.c */
make_fn make_time_warp;
make_fn make_find_texts, make_split_texts, make_match_texts, make_change_case, make_read_numbers,
    make_write_numbers;                                                                /* make_texts.c */
make_fn make_unique, make_append, make_bitcast, make_square, make_nms, make_roi_align; /* make_routines.c */
make_fn make_sparse, make_windows, make_seq_offsets, make_pad_ragged, make_top_k, make_keep_largest, make_reach,
    make_reach_ragged;
make_fn make_scalar, make_cast, make_copy, make_dims, make_iota, make_splat, make_reshape, make_transpose, make_expand,
    make_slice, make_concat, make_pad, make_pack, make_gather, make_gather_elements, make_gather_nd, make_reduce,
    make_cumsum, make_matmul, make_matmul_packed, make_linear, make_along, make_crmsnorm, make_gelu, make_attention;
/* A bias of attention in which some keys are hidden. */
xfc_value *maker_hidden(maker *, xfc_value *bias);

#endif
