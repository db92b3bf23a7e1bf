/* sequence.h - sequences and optionals, of which none remains in the graph.
 *
 * Exporters use sequences for what a list is in Python: pieces of a split that are picked by number, or joined again.
 * Where the length is known when compiling, a sequence is a list of values. Else (an input, a position or a split that
 * only the run knows, branches with sequences of different lengths) it is flat, which is two tensors: the elements of
 * all its tensors, row-major, one tensor behind the other, and i64[length, rank] with the dims of each, filled up with
 * -1 where a tensor has fewer than another. That is how sequences come in and go out, too (border.c).
 *
 * An optional tensor is a sequence of at most one; an optional sequence has a bool beside it.
 */
#ifndef XFC_ONNX_SEQUENCE_H
#define XFC_ONNX_SEQUENCE_H
#include "frontend/onnx/import.h"

xfc_sequence *xfc_sequence_list(xfc_node *, xfc_dtype, uint32_t length); /* NULL: too long, and the node has failed */
xfc_sequence *xfc_sequence_flat(xfc_node *, xfc_value *elements, xfc_value *shapes);
xfc_int xfc_sequence_length(const xfc_node *, const xfc_sequence *);
int64_t xfc_sequence_rank(const xfc_node *, const xfc_sequence *); /* the most of its tensors; -1: not known */
/* The same one as flat, with rows of at least this rank; NULL: failed. */
const xfc_sequence *xfc_sequence_flatten(xfc_node *, const xfc_sequence *, int64_t rank);

/* optional.c: as an optional, and what an optional sequence holds, which is required to be there. */
const xfc_sequence *xfc_sequence_optional(xfc_node *, const xfc_sequence *, bool present);
const xfc_sequence *xfc_sequence_in(xfc_node *, const xfc_sequence *);

/* Of a flat one, where the run says which. at: i64[], negative from the end; outside: an error of the run. */
xfc_value *xfc_flat_at(xfc_node *, const xfc_sequence *, xfc_value *at);
const xfc_sequence *xfc_flat_insert(xfc_node *, const xfc_sequence *, xfc_value *at,
                                    xfc_value *tensor); /* NULL: last */
const xfc_sequence *xfc_flat_erase(xfc_node *, const xfc_sequence *, xfc_value *at);
/* Tensors that differ along `axis` alone, joined; or (stack) equal ones, along a new one. */
xfc_value *xfc_flat_concat(xfc_node *, const xfc_sequence *, uint32_t axis);
xfc_value *xfc_flat_stack(xfc_node *, const xfc_sequence *, uint32_t axis);
/* Parts of x along an axis, of these sizes, i64[length]; keep: with the axis, else the sizes are 1. */
const xfc_sequence *xfc_flat_split(xfc_node *, xfc_value *x, uint32_t axis, xfc_value *sizes, bool keep);

/* What a sequence is in the graph: elements, shapes, and present if it has that. How many. */
enum { XFC_MAX_PARTS = 3 };
uint32_t xfc_sequence_parts(const xfc_sequence *flat, xfc_value *out[XFC_MAX_PARTS]);

/* Which of the parts that end at ends[i] each of `total` places is in: i64[total]. */
xfc_value *xfc_n_part_of(xfc_node *, xfc_value *ends, xfc_int total);

/* border.c: the names of parts, what the model says of them, and an output as its parts: how many, 0 after a failure. */
const char *xfc_border_name(xfc_importer *, const char *name, uint32_t part);
void xfc_border_note(xfc_importer *, const char *name, xfc_border);
uint32_t xfc_border_output(xfc_importer *, const char *name, const xfc_sequence *, xfc_value **value,
                           const char **names);

enum { XFC_LENGTHS = XFC_MAX_PARTS }; /* the name of the second part of strings */
/* Strings (text.h): an input of these dims, and an output as its parts, as above. */
xfc_result xfc_border_text_input(xfc_importer *, const char *name, xfc_int size, const xfc_type *dims);
uint32_t xfc_border_texts(xfc_importer *, const char *name, xfc_result, xfc_value **value, const char **names);

#endif
