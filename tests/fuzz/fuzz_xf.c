/* fuzz_xf.c - any bytes as an .xf text: the parser refuses or accepts, and what it accepts survives the rest of ir/.
 *
 * For an accepted text: the verifier must come to an answer, printing must parse again, and the second print must
 * equal the first. Cloning must keep the text too. A violated property aborts, which is what a fuzzer looks for.
 */
#include "ir/text/text.h"
#include "ir/verify/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool ok, const char *what, const char *text) {
    if (ok) return;
    fprintf(stderr, "fuzz_xf: %s:\n%s\n", what, text);
    abort();
}

static char *print(xfc_ctx *c, const xfc_graph *g, size_t *n) {
    xfc_buf b = {.arena = c->arena};
    xfc_print_graph(&b, g, &(xfc_print_opts){.locations = true, .data_by_id = true});
    *n = b.n;
    return b.text;
}

static void check(xfc_ctx *c, xfc_graph *g) {
    size_t n, again;
    xfc_buf defects = {.arena = c->arena};
    bool sound = xfc_verify(g, &defects);
    require(sound == (defects.n == 0), "the verifier's answer and its list differ", defects.n ? defects.text : "");
    char *text = print(c, g, &n);
    xfc_graph *parsed = xfc_parse_graph(c, text, n, "printed.xf");
    require(parsed != NULL, "what was printed does not parse", text);
    require(strcmp(print(c, parsed, &again), text) == 0, "what was printed reads as something else", text);
    xfc_graph_free(parsed);
    if (!sound) return; /* only sound graphs can be cloned */
    xfc_graph *clone = xfc_graph_clone(g);
    require(strcmp(print(c, clone, &again), text) == 0, "the clone reads as something else", text);
    xfc_graph_free(clone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    xfc_ctx *c = xfc_ctx_new();
    xfc_graph *g = xfc_parse_graph(c, (const char *)data, n, "fuzz.xf");
    require((g != NULL) == (c->n_errors == 0), "a graph with errors, or none without", "");
    if (g) check(c, g);
    xfc_graph_free(g);
    xfc_ctx_free(c);
    return 0;
}
