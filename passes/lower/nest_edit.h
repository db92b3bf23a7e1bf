/* nest_edit.h - surgery on nests: inlining, merging, tidying, axis changes. No cost decisions here. */
#ifndef XFC_NEST_EDIT_H
#define XFC_NEST_EDIT_H
#include "ir/nest.h"

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena;
} xfc_edit; /* arena: of the graph that will own the result */

/* A nest that computes each output element once from one index: no reduce or scan axis, one plain store whose index is
 * the axes themselves (or 0 where the extent is 1). axis_of[d]: which axis stands at output dim d, or XFC_NO_ARG. */
bool xfc_nest_is_map(xfc_ctx *, const xfc_nest *, uint32_t *axis_of);
/* Only loads, indices, lets, predicates, selects and constants: nothing is computed, elements are moved. */
bool xfc_nest_is_view(const xfc_nest *);
uint32_t xfc_nest_work(const xfc_nest *); /* arithmetic instructions; mathematical functions count 12 */
bool xfc_nest_has_let(const xfc_nest *);

/* Replaces the load at body[load] of `into` by the body of `map` (xfc_nest_is_map) at the load's index. Buffers of
 * `map` are renumbered through buffer_map. False (nothing changed) when that is not possible, or an index would be too
 * large a formula. */
bool xfc_nest_inline(xfc_edit, xfc_nest *into, uint32_t load, const xfc_nest *map, const uint32_t *buffer_map);

/* Appends `map`, whose loads from buffer `from` are all at the index its own element has, to `into`: those loads become
 * the value that store `store` of `into` writes, the map's axes become that store's index, and its store is added.
 * drop: the old store goes. False (nothing changed): as above. */
bool xfc_nest_append(xfc_edit, xfc_nest *into, uint32_t store, const xfc_nest *map, uint32_t from,
                     const uint32_t *buffer_map, bool drop);

/* A copy in which symbols are replaced: from[i] by to[i]. Its axes keep their symbols, its lets are fresh. NULL: an
 * index would be too large a formula. */
xfc_nest *xfc_nest_copy(xfc_edit, const xfc_nest *, const xfc_int *from, const xfc_int *to, uint32_t n);
/* Value-numbers the body, drops what no store needs, keeps order. */
void xfc_nest_tidy(xfc_edit, xfc_nest *);
/* Renumbers buffers of every load and store. */
void xfc_nest_map_buffers(xfc_edit, xfc_nest *, const uint32_t *buffer_map);
/* Removes axis `axis` of the nest; its symbol becomes `index`. */
void xfc_nest_fix_axis(xfc_edit, xfc_nest *, uint32_t axis, xfc_int index);
bool xfc_nest_uses_buffer(const xfc_nest *, uint32_t buffer);

#endif
