/* structure.c - what .xf files cannot show: broken graph structures, over-long texts, canonical kernels.
 *
 * Each corruption starts from a fresh sound graph, which the verifier must accept, breaks one thing, and expects the
 * verifier to name it.
 */
#include "ir/code.h"
#include "ir/text/text.h"
#include "ir/verify/verify.h"
#include "tests/unit/test.h"

static const char ops_text[] = "graph @g[b](%x: f32[b, 4]) -> (f32[b, 4] \"y\") {\n"
                               "  %h = softmax %x {axis = 1}\n"
                               "  %i = cast %h {to = f32}\n"
                               "  %y = add %h, %i\n"
                               "  return %y\n}\n";
static const char kernel_text[] = "graph @g[b](%x: f32[b, 4]) -> (f32[b, 4] \"y\") stage kernels {\n"
                                  "  %y = kernel \"map\" %x : f32[b, 4] {\n"
                                  "    axis i in b\n"
                                  "    let k = i in 0..b - 1\n"
                                  "    temp $0: f32[4]\n"
                                  "    nest j in 4 {\n"
                                  "      a = load f32 %x[k, j]\n"
                                  "      c = neg f32 a\n"
                                  "      store $0[j] = c\n    }\n"
                                  "    nest j in 4 {\n"
                                  "      a = load f32 $0[j]\n"
                                  "      c = mul f32 a, a\n"
                                  "      store %y[i, j] = c\n    }\n"
                                  "  }\n"
                                  "  return %y\n}\n";

/* --- the verifier --- */

typedef void corruption(xfc_graph *);

static xfc_op *nth(const xfc_graph *g, int n) {
    xfc_op *op = g->first;
    while (n--) op = op->next;
    return op;
}

static xfc_nest *nest_of(const xfc_graph *g, int n) { return g->first->kernel->steps[n].u.nest; }

static void op_user(xfc_graph *g) { nth(g, 2)->in[0].user = nth(g, 0); }
static void op_uses_lost(xfc_graph *g) { nth(g, 0)->out[0].uses = nth(g, 0)->out[0].uses->next; }
static void op_uses_unlinked(xfc_graph *g) { nth(g, 0)->out[0].uses = NULL; }
static void op_order(xfc_graph *g) { xfc_op_move_before(nth(g, 0), nth(g, 2)); }
static void op_prev(xfc_graph *g) { nth(g, 1)->prev = NULL; }
static void op_graph(xfc_graph *g) { nth(g, 1)->graph = NULL; }
static void op_code(xfc_graph *g) { nth(g, 1)->code = XFC_OP_COUNT; }
static void op_def(xfc_graph *g) { nth(g, 1)->out[0].def = nth(g, 0); }
static void op_id(xfc_graph *g) { nth(g, 1)->out[0].id = nth(g, 0)->out[0].id; }
static void op_id_beyond(xfc_graph *g) { nth(g, 2)->out[0].id = 1000; }
static void op_hole(xfc_graph *g) { xfc_op_set_in(nth(g, 2), 1, NULL); }
static void op_type(xfc_graph *g) { nth(g, 1)->out[0].type.dtype = XFC_F64; }
static void op_dim_missing(xfc_graph *g) { nth(g, 1)->out[0].type.dim[0] = XFC_INT_NONE; }
static void op_dim_beyond(xfc_graph *g) { nth(g, 1)->out[0].type.dim[5] = xfc_int_const(g->ctx, 1); }
static void op_dtype(xfc_graph *g) { nth(g, 1)->out[0].type.dtype = XFC_DTYPE_COUNT; }
static void op_attr_lost(xfc_graph *g) { nth(g, 0)->n_attr = 0; }

/* One attribute more, or another value for one; the order by key stays. */
static void set_attr(xfc_op *op, xfc_attr attr) {
    xfc_attr *own = xfc_new_array(op->graph->arena, xfc_attr, op->n_attr + 1);
    uint16_t n = 0;
    for (uint32_t i = 0; i < op->n_attr && op->attr[i].key < attr.key; i++) own[n++] = op->attr[i];
    own[n++] = attr;
    for (uint32_t i = 0; i < op->n_attr; i++)
        if (op->attr[i].key > attr.key) own[n++] = op->attr[i];
    op->attr = own;
    op->n_attr = n;
}
static void op_attr_extra(xfc_graph *g) { set_attr(nth(g, 0), xfc_attr_int(XFC_K_CAUSAL, 1)); }
static void op_attr_value(xfc_graph *g) { set_attr(nth(g, 0), xfc_attr_int(XFC_K_AXIS, 7)); }
static void op_content(xfc_graph *g) { nth(g, 1)->out[0].content = xfc_new_array(g->arena, xfc_int, 64); }
static void op_results(xfc_graph *g) { nth(g, 1)->n_out = 0; }
static void op_kernel(xfc_graph *g) { nth(g, 1)->kernel = xfc_new(g->arena, xfc_kernel); }
static void graph_return(xfc_graph *g) {
    g->last = g->last->prev;
    g->last->next = NULL;
}
static void graph_output_name(xfc_graph *g) { g->out_name[0] = NULL; }
static void graph_output_count(xfc_graph *g) { g->n_out = 0; }
static void graph_input_name(xfc_graph *g) { g->in[0]->name = NULL; }
static void graph_input(xfc_graph *g) { g->in[0]->out = 3; }
static void graph_require(xfc_graph *g) {
    xfc_int b = g->in[0]->type.dim[0];
    nth(g, 1)->in[0].value->type.dim[0] = xfc_int_addc(g->ctx, b, 1); /* h: b + 1 rows, so add's operands differ */
}

static void k_body(xfc_graph *g) { g->first->kernel = NULL; }
static void k_operands(xfc_graph *g) { g->first->kernel->n_in = 0; }
static void k_kind(xfc_graph *g) { g->first->kernel->buffers[0].kind = XFC_BUF_OUT; }
static void k_symbol(xfc_graph *g) { g->first->kernel->axes[0].symbol = xfc_int_const(g->ctx, 3); }
static void k_symbol_dim(xfc_graph *g) { g->first->kernel->axes[0].symbol = g->in[0]->type.dim[0]; }
static void k_symbol_twice(xfc_graph *g) { nest_of(g, 0)->axes[0].symbol = g->first->kernel->axes[0].symbol; }
static void k_extent(xfc_graph *g) { nest_of(g, 0)->axes[0].extent = XFC_INT_NONE; }
static void k_scope(xfc_graph *g) { nest_of(g, 1)->stores[0].to.index[1] = nest_of(g, 0)->axes[0].symbol; }
static void k_let(xfc_graph *g) { g->first->kernel->lets[0].value = nest_of(g, 0)->axes[0].symbol; }
static void k_buffer(xfc_graph *g) { nest_of(g, 0)->stores[0].to.buffer = 9; }
static void k_rank(xfc_graph *g) { nest_of(g, 0)->stores[0].to.rank = 2; }
static void k_index(xfc_graph *g) { nest_of(g, 0)->stores[0].to.index[0] = XFC_INT_NONE; }
static void k_forward(xfc_graph *g) { nest_of(g, 0)->body[1].arg[0] = 1; }
static void k_no_argument(xfc_graph *g) { nest_of(g, 1)->body[1].arg[1] = XFC_NO_ARG; }
static void k_scalar(xfc_graph *g) { nest_of(g, 0)->body[1].op = XFC_S_COUNT; }
static void k_access(xfc_graph *g) { nest_of(g, 0)->body[0].u.access = NULL; }
static void k_value(xfc_graph *g) { nest_of(g, 0)->stores[0].value = 2; }
static void k_unread(xfc_graph *g) { g->first->kernel->n_steps = 1; }
static void k_order(xfc_graph *g) {
    xfc_step *s = g->first->kernel->steps, first = s[0];
    s[0] = s[1];
    s[1] = first;
}

static void check_corruption(const char *text, corruption *corrupt, const char *message, const char *name) {
    xfc_ctx *c = xfc_ctx_new();
    xfc_graph *g = xfc_parse_graph(c, text, strlen(text), "t.xf");
    xfc_buf before = {.arena = c->arena}, after = {.arena = c->arena};
    if (!CHECK(g != NULL)) return;
    CHECK(xfc_verify(g, &before) && before.n == 0);
    corrupt(g);
    uint32_t n_errors = c->n_errors, n_constraints = g->n_constraints;
    bool found = !xfc_verify(g, &after) && strstr(after.text, message);
    if (!CHECK(found))
        fprintf(stderr, "    %s: expected '%s' in: %s\n", name, message, after.n ? after.text : "(nothing)");
    CHECK_INT(xfc_verify(g, NULL), false);
    CHECK_INT(c->n_errors, n_errors); /* verifying records nothing */
    CHECK_INT(g->n_constraints, n_constraints);
    xfc_graph_free(g);
    xfc_ctx_free(c);
}

static void test_verifier(void) {
#define BROKEN(text, corrupt, message) check_corruption(text, corrupt, message, #corrupt)
    BROKEN(ops_text, op_user, "operand 0 belongs to another op");
    BROKEN(ops_text, op_uses_lost, "the list of uses of value 1 is broken");
    BROKEN(ops_text, op_uses_unlinked, "value 1 has fewer uses than operands that name it");
    BROKEN(ops_text, op_order, "operand 0 is not defined before it");
    BROKEN(ops_text, op_prev, "the list of ops is broken before it");
    BROKEN(ops_text, op_graph, "belongs to another graph");
    BROKEN(ops_text, op_code, "has no valid opcode");
    BROKEN(ops_text, op_def, "result 0 does not name its op");
    BROKEN(ops_text, op_id, "two values have the id 1");
    BROKEN(ops_text, op_id_beyond, "value 1000 has an id beyond the graph's");
    BROKEN(ops_text, op_hole, "operand 1 is missing and not optional");
    BROKEN(ops_text, op_type, "result 0 is f64[b, 4], but inference says f32[b, 4]");
    BROKEN(ops_text, op_dim_missing, "the result is missing");
    BROKEN(ops_text, op_dim_beyond, "the result has a dim beyond its rank");
    BROKEN(ops_text, op_dtype, "the result has no valid element type or rank");
    BROKEN(ops_text, op_attr_lost, "needs the attribute 'axis'");
    BROKEN(ops_text, op_attr_extra, "takes no attribute 'causal'");
    BROKEN(ops_text, op_attr_value, "inference refuses it: ");
    BROKEN(ops_text, op_content, "result 0 cannot have symbolic contents");
    BROKEN(ops_text, op_results, "has 0 results");
    BROKEN(ops_text, op_kernel, "has a kernel's body");
    BROKEN(ops_text, graph_return, "graph: does not end in return");
    BROKEN(ops_text, graph_output_name, "graph: output 0 has no name");
    BROKEN(ops_text, graph_output_count, "graph: has 0 outputs, but return 1 operands");
    BROKEN(ops_text, graph_input_name, "graph: input 0 has no name");
    BROKEN(ops_text, graph_input, "graph: input 0 is no input");
    BROKEN(ops_text, graph_require, "inference says f32[b + 1, 4]");
    BROKEN(kernel_text, k_body, "has no body");
    BROKEN(kernel_text, k_operands, "its buffers are not its operands");
    BROKEN(kernel_text, k_kind, "buffer 0 has the wrong kind");
    BROKEN(kernel_text, k_symbol, "an outer axis has no symbol of its own");
    BROKEN(kernel_text, k_symbol_dim, "an outer axis has no symbol of its own");
    BROKEN(kernel_text, k_symbol_twice, "an axis defines a symbol that is already in scope");
    BROKEN(kernel_text, k_extent, "the extent of an axis is missing");
    BROKEN(kernel_text, k_scope, "a store uses 'j', which is not in scope");
    BROKEN(kernel_text, k_let, "a let uses 'j', which is not in scope");
    BROKEN(kernel_text, k_buffer, "step 0: a store names buffer 9 of 3");
    BROKEN(kernel_text, k_rank, "step 0: a store has 2 indices into a buffer of rank 1");
    BROKEN(kernel_text, k_index, "a store is missing");
    BROKEN(kernel_text, k_forward, "step 0: v1: operand 0 is no earlier instruction");
    BROKEN(kernel_text, k_no_argument, "step 1: v1: operand 1 is no earlier instruction");
    BROKEN(kernel_text, k_scalar, "step 0: v1: no valid operation or element type");
    BROKEN(kernel_text, k_access, "step 0: v0: a load without access");
    BROKEN(kernel_text, k_value, "step 0: store 0 stores no instruction");
    BROKEN(kernel_text, k_unread, "output 0 is never stored");
    BROKEN(kernel_text, k_order, "step 0: v0: buffer 2 is read before it is stored");
#undef BROKEN
}

/* --- the parser's limits --- */

static void check_refused(const char *text, size_t n, const char *message) {
    xfc_ctx *c = xfc_ctx_new();
    char *exact = malloc(n ? n : 1); /* no NUL behind it */
    if (!exact) abort();
    memcpy(exact, text, n);
    CHECK(xfc_parse_graph(c, exact, n, "t.xf") == NULL);
    CHECK_INT(c->n_errors, 1);
    if (c->n_diags) CHECK_CONTAINS(c->diags[0].text, message);
    free(exact);
    xfc_ctx_free(c);
}

static void check_repeated(const char *before, const char *part, int times, const char *message) {
    xfc_arena *a = xfc_arena_new();
    xfc_buf b = {.arena = a};
    xfc_buf_str(&b, before);
    for (int i = 0; i < times; i++) xfc_buf_printf(&b, part, i);
    check_refused(b.text, b.n, message);
    xfc_arena_free(a);
}

/* Each graph is a body of the one above it. */
static void test_nesting(void) {
    xfc_arena *a = xfc_arena_new();
    xfc_buf b = {.arena = a};
    for (int i = 0; i < 200; i++)
        xfc_buf_printf(&b,
                       "graph @g%d(%%c: bool[]) -> (f32[] \"y\") {\n"
                       "  %%y = branch %%c, %%c {then = @g%d, else = @e%d} : f32[]\n  return %%y\n}\n",
                       i, i + 1, i);
    check_refused(b.text, b.n, "graphs are nested deeper than 128");
    xfc_arena_free(a);
}

static void test_limits(void) {
    check_repeated("graph @g(%", "a", 70000, "a name of 70000 bytes is longer than the limit of 65536");
    check_repeated("graph @g(%x: f32[]) -> (f32[] \"y\") {\n  %y = transpose %x {perm = [", "%d, ", 5000,
                   "a list has more than 4096 entries");
    check_repeated("graph @g(%x: f32[]) -> (f32[] \"y\") {\n  %y = kernel %x : f32[] {\n", "let l%d = 0 in 0..0 ", 1100,
                   "more than 1024 axes and lets in scope");
    check_repeated("graph @g(%x: f32[]) -> (f32[] \"y\") {\n  %y = concat %x", ", %%x", 70000,
                   "more than 65535 operands");
    static const char zero[] = "graph @g\0(";
    check_refused(zero, sizeof zero - 1, "the text holds a zero byte");
    check_refused("graph @g(%x", 11, "expected ':', found the end of the text");
    check_refused("", 0, "expected 'graph'");
}

/* --- canonical kernels --- */

static const char *canonical(xfc_ctx *c, const char *text) {
    xfc_graph *g = xfc_parse_graph(c, text, strlen(text), "t.xf");
    xfc_buf b = {.arena = c->arena};
    if (!CHECK(g != NULL)) return "";
    xfc_coder coder = {.ctx = c, .known = {.arena = c->arena}};
    const xfc_code code = xfc_code_of(&coder, g->first->kernel, c->arena);
    xfc_print_kernel(c, &b, code.kernel, code.symbol, code.n_symbols);
    xfc_graph_free(g);
    return b.text;
}

#define ONE(in, out, form, axis, expression)                                                                           \
    "graph @g[b](%" in ": f32[b, 4]) -> (f32[b, 4] \"y\") {\n  %" out " = kernel \"" form "\" %" in                    \
    " : f32[b, 4] {\n    axis " axis " in b\n    nest c in 4 {\n      v = load f32 %" in "[" axis                      \
    ", c]\n      w = index " expression "\n      store %" out "[" axis ", c] = v\n    }\n  }\n  return %" out "\n}\n"

static void test_canonical(void) {
    xfc_ctx *c = xfc_ctx_new();
    const char *a = canonical(c, ONE("x", "y", "map", "i", "i * 4 + c"));
    CHECK_STR(canonical(c, ONE("other", "name", "rows", "row", "c + 4 * row")), a);
    CHECK(strcmp(canonical(c, ONE("x", "y", "map", "i", "i * 5 + c")), a) != 0);
    CHECK_CONTAINS(a, "#0[i0 * 4 + i1]");
    xfc_ctx_free(c);
}

int main(void) {
    test_verifier();
    test_limits();
    test_nesting();
    test_canonical();
    return test_end();
}
