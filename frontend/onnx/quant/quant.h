/* quant.h - what the importers of quantized operators share: scales and zero points as a node gives them, and values
 * made from and into numbers of few bits by the IR's quantize and dequantize. */
#ifndef XFC_ONNX_QUANT_H
#define XFC_ONNX_QUANT_H
#include "frontend/onnx/import.h"

typedef struct {
    xfc_value *scale, *zero; /* zero may be NULL */
    uint32_t axis;
    int64_t block; /* elements along axis that share a scale; 0: none do but by broadcasting */
} xfc_quant;

/* Reads a scale at operand `scale` and a zero point at `zero` (which may be absent) for a tensor of type x: one number,
 * one an index of `axis`, or with block one a block. Checked: shapes, that the zero point has the type `stored`, that a
 * constant scale is a number, and positive where `divides`. False: failed. */
bool xfc_quant_read(xfc_node *, const xfc_type *x, xfc_dtype stored, uint32_t scale, uint32_t zero, int64_t axis,
                    int64_t block, bool divides, xfc_quant *out);
/* contrib_bits.c: bytes as numbers of so many bits along the last dim; the first ones along it. */
xfc_value *xfc_n_split_bits(xfc_node *, xfc_value *, int64_t bits);
xfc_value *xfc_n_first_columns(xfc_node *, xfc_value *, xfc_int columns);
xfc_value *xfc_n_dequantize(xfc_node *, xfc_value *x, const xfc_quant *, xfc_dtype to);
xfc_value *xfc_n_quantize(xfc_node *, xfc_value *x, const xfc_quant *, xfc_dtype to); /* x, scale: of one type */
/* acc (i32) * a_scale * b_scale as f32; the scales broadcast. */
xfc_value *xfc_n_rescale(xfc_node *, xfc_value *acc, xfc_value *a_scale, xfc_value *b_scale);
/* round(acc * (a_scale * b_scale / y_scale)) + zero, saturated to the zero point's type, or `absent` without one. The
 * scale of y is operand `scale`, its zero point the next; one number each. */
xfc_value *xfc_n_requantize(xfc_node *, xfc_value *acc, xfc_value *a_scale, xfc_value *b_scale, uint32_t scale,
                            xfc_dtype absent);
/* (a - a_zero) @ (b - b_zero) in i32, numpy's rules also for vectors; zero points may be NULL. */
xfc_value *xfc_n_matmul_integer(xfc_node *, xfc_value *a, xfc_value *b, xfc_value *a_zero, xfc_value *b_zero);
/* conv.c: the convolution of x - x_zero (one number) with w - w_zero (one number or one a row of w) in i32, as the
 * node's attributes say; zero points and bias (i32) may be NULL. */
xfc_value *xfc_n_conv_integer(xfc_node *, xfc_value *x, xfc_value *w, xfc_value *x_zero, xfc_value *w_zero,
                              xfc_value *bias);
/* x (f32) in u8 with a scale and zero point of its own range: DynamicQuantizeLinear. */
typedef struct {
    xfc_value *y, *scale, *zero;
} xfc_dynamic;
bool xfc_n_dynamic_quantize(xfc_node *, xfc_value *x, xfc_dynamic *out);

#endif
