/* notes.c - what passes leave on the graph beside its ops: notes for people, metadata for the artefact.
 *
 * Both are side tables in the order they were written; nothing in the compiler decides by them. The text form has
 * neither.
 */
#include "ir/program.h"
#include <stdarg.h>
#include <string.h>

static const char *copy(xfc_graph *g, const char *s) { return xfc_sprintf(g->arena, "%s", s ? s : ""); }

void xfc_graph_note(xfc_graph *g, const char *pass, xfc_loc loc, const char *format, ...) {
    g = xfc_graph_entry(g);
    xfc_buf text = {.arena = g->arena};
    va_list args;
    va_start(args, format);
    xfc_buf_vprintf(&text, format, args);
    va_end(args);
    xfc_push(g->arena, g->note, g->n_notes, g->cap_notes) =
        (xfc_note){.pass = copy(g, pass), .text = text.text ? text.text : "", .loc = loc};
}

void xfc_graph_meta(xfc_graph *g, const char *key, const char *value) {
    g = xfc_graph_entry(g);
    for (uint32_t i = 0; i < g->n_meta; i += 2) {
        if (strcmp(g->meta[i], key) != 0) continue;
        g->meta[i + 1] = copy(g, value);
        return;
    }
    xfc_push(g->arena, g->meta, g->n_meta, g->cap_meta) = copy(g, key);
    xfc_push(g->arena, g->meta, g->n_meta, g->cap_meta) = copy(g, value);
}

void xfc_graph_copy_notes(xfc_graph *to, const xfc_graph *from) {
    for (uint32_t i = 0; i < from->n_notes; i++)
        xfc_graph_note(to, from->note[i].pass, from->note[i].loc, "%s", from->note[i].text);
    for (uint32_t i = 0; i < from->n_meta; i += 2) xfc_graph_meta(to, from->meta[i], from->meta[i + 1]);
}
