/* text.h - tensors of strings, of which none remains in the graph.
 *
 * A tensor of strings is one of numbers, i64, each the number of a text in a table beside it. So whatever moves elements
 * (views, gathers, selections, joins) moves numbers. The table is three tensors: bytes, and where each text begins and
 * how long it is, so parts of texts are texts of the same bytes. Two numbers may mean equal texts; what compares texts
 * looks them up in one table first (xfc_texts_find).
 *
 * They come in and go out as bytes u8[size], one text behind the other, and lengths i64, which has the tensor's dims
 * (border.c).
 */
#ifndef XFC_ONNX_TEXT_H
#define XFC_ONNX_TEXT_H
#include "frontend/onnx/import.h"

struct xfc_texts {
    xfc_value *bytes, *starts, *lengths; /* u8[size], i64[n], i64[n] */
    bool dense;                          /* one behind the other, all of the bytes */
};

enum { XFC_ONNX_STRING = 8 }; /* the element type */

const xfc_texts *xfc_texts_new(xfc_node *, xfc_value *bytes, xfc_value *starts, xfc_value *lengths, bool dense);
/* Constants: strings of an attribute, or of a tensor, whose numbers then are `shape`. */
const xfc_texts *xfc_texts_of(xfc_node *, const ProtobufCBinaryData *text, size_t n);
xfc_result xfc_texts_tensor(xfc_node *, const Onnx__TensorProto *, const char *what);
/* All texts of a dense table, as a tensor of these dims. */
xfc_result xfc_texts_all(xfc_node *, const xfc_texts *, const xfc_int *dim, uint32_t rank);
/* One table for both; the numbers of the second then begin at *offset, i64[]. */
const xfc_texts *xfc_texts_join(xfc_node *, const xfc_texts *, const xfc_texts *, xfc_value **offset);
/* The texts of these numbers, i64[n], alone: a dense table in their order. */
const xfc_texts *xfc_texts_take(xfc_node *, const xfc_texts *, xfc_value *numbers);
/* For each text of the second table the number of the first that equals it in the first one, or -1: i64[n]. */
xfc_value *xfc_texts_find(xfc_node *, const xfc_texts *in, const xfc_texts *what);
xfc_value *xfc_texts_gather(xfc_node *, xfc_value *list, xfc_value *numbers); /* list[numbers] */
xfc_value *xfc_texts_flat(xfc_node *, xfc_value *);                           /* [n] */
/* Elements of a tensor of strings as numbers; a run ends where one is none. And the other way round. */
xfc_value *xfc_texts_read(xfc_node *, const xfc_texts *, xfc_value *numbers, xfc_dtype);
xfc_result xfc_texts_write(xfc_node *, xfc_value *);
/* What the operand is where it must be texts; NULL: it is not, and the node has failed. */
const xfc_texts *xfc_node_texts(xfc_node *, uint32_t in);
/* Makes the texts of operands in `mask` those of one table: *table, NULL where there are none. False: failed. */
bool xfc_node_one_table(xfc_node *, uint32_t mask, const xfc_texts **table);

#endif
