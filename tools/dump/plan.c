/* plan.c - signature, plan table and metadata, read from the plan blob: the same for a .so and for a model
 * compiled on the spot.
 *
 * Sizes are instructions; they are printed back as expressions over the model's dims, cut off when long. */
#include "ir/base/map.h"
#include "tools/dump/dump.h"
#include <inttypes.h>
#include <string.h>

enum { LONGEST = 120, DEEPEST = 64 };      /* bytes; shared expressions could unfold without end */
enum { SUM = 1, DIVISION, PRODUCT, ATOM }; /* how tightly an expression binds */

static void print_value(const xf_plan *p, xfc_buf *out, xf_val v, int binds, int depth);

static void print_infix(const xf_plan *p, xfc_buf *out, const xf_instr *in, const char *op, int level, int binds,
                        int depth) {
    int inside = level == DIVISION ? ATOM : level;
    if (binds > level) xfc_buf_char(out, '(');
    print_value(p, out, in->a, inside, depth);
    xfc_buf_str(out, op);
    print_value(p, out, in->b, inside, depth);
    if (binds > level) xfc_buf_char(out, ')');
}

static void print_value(const xf_plan *p, xfc_buf *out, xf_val v, int binds, int depth) {
    if (out->n > LONGEST) return;
    if (depth++ > DEEPEST) {
        xfc_buf_str(out, "...");
        return;
    }
    if (v < p->head->n_symbols) {
        xfc_buf_str(out, xf_plan_str(p, p->symbols[v].name));
        return;
    }
    const xf_instr *in = &p->instrs[v - p->head->n_symbols];
    switch ((xf_instr_op)in->op) {
    case XF_I_CONST: xfc_buf_printf(out, "%" PRId64, in->value); return;
    case XF_I_ADD: print_infix(p, out, in, " + ", SUM, binds, depth); return;
    case XF_I_MUL: print_infix(p, out, in, " * ", PRODUCT, binds, depth); return;
    case XF_I_FLOORDIV: print_infix(p, out, in, " floordiv ", DIVISION, binds, depth); return;
    case XF_I_MOD: print_infix(p, out, in, " mod ", DIVISION, binds, depth); return;
    case XF_I_DEFINED: xfc_buf_str(out, xf_plan_str(p, p->symbols[in->value].name)); return;
    case XF_I_MIN:
    case XF_I_MAX:
        xfc_buf_str(out, in->op == XF_I_MIN ? "min(" : "max(");
        print_value(p, out, in->a, SUM, depth);
        xfc_buf_str(out, ", ");
        print_value(p, out, in->b, SUM, depth);
        xfc_buf_char(out, ')');
        return;
    }
}

static const char *value_text(xf_dump *d, const xf_plan *p, xf_val v) {
    xfc_buf b = {.arena = d->arena};
    if (v == XF_VAL_NONE) return "";
    print_value(p, &b, v, SUM, 0);
    if (b.n > LONGEST) {
        b.n = LONGEST;
        xfc_buf_str(&b, "...");
    }
    return b.text;
}

/* Of floats of 8 and 4 bits. */
static const char *minifloat_name(uint32_t dtype) {
    for (int t = 0; t < XFC_DTYPE_COUNT; t++)
        if (xfc_dtype_dlpack((xfc_dtype)t) == dtype) return xfc_dtype_name(xfc_dtype_unpacked((xfc_dtype)t));
    return "?";
}

static const char *type_text(xf_dump *d, const xf_plan *p, const xf_arg *a) {
    static const char *const kind[] = {[0] = "i", [1] = "u", [2] = "f", [4] = "bf"};
    uint32_t code = a->dtype & 0xff, bits = a->dtype >> 8 & 0xff;
    xfc_buf b = {.arena = d->arena};
    if (code == 6)
        xfc_buf_str(&b, "bool[");
    else if (code > 4)
        xfc_buf_printf(&b, "%s[", minifloat_name(a->dtype));
    else
        xfc_buf_printf(&b, "%s%u[", code < XFC_COUNT(kind) && kind[code] ? kind[code] : "?", bits);
    for (uint32_t i = 0; i < a->n_dims; i++) {
        const xf_dim *dim = &p->dims[a->first_dim + i];
        xfc_buf_printf(&b, "%s%s", i ? ", " : "", value_text(d, p, dim->value));
    }
    xfc_buf_char(&b, ']');
    return b.text;
}

/* Outputs that padding removal leaves 0: metadata "padded-output:NAME" = INPUT. Most models have none. */
static void dump_padding(xf_dump *d, const xf_plan *p) {
    static const char *const head[] = {"output", "is 0 where this input is"};
    static const char key[] = "padded-output:";
    xf_table t = xf_table_begin(d, "padded outputs", head, 2);
    for (uint32_t i = 0; i < p->head->n_meta; i++) {
        const char *k = xf_plan_str(p, p->meta[i].key);
        if (strncmp(k, key, sizeof key - 1) != 0) continue;
        xf_cell(&t, "%s", k + sizeof key - 1);
        xf_cell(&t, "%s", xf_plan_str(p, p->meta[i].value));
    }
    if (t.n) xf_table_end(&t);
}

/* Outputs that may lie where an input does. */
static void dump_caches(xf_dump *d, const xf_plan *p) {
    static const char *const head[] = {"output", "continues", "#axis"};
    xf_table t = xf_table_begin(d, "caches", head, 3);
    for (uint32_t i = 0; i < p->head->n_outputs; i++) {
        const xf_arg *a = xf_plan_output(p, i);
        if (!a->twin) continue;
        xf_cell(&t, "%s", xf_plan_str(p, a->name));
        xf_cell(&t, "%s", xf_plan_str(p, p->args[a->twin - 1].name));
        xf_cell(&t, "%" PRIu32, a->axis);
    }
    if (t.n) xf_table_end(&t);
}

void xf_dump_signature(xf_dump *d, const xf_plan *p) {
    static const char *const head[] = {"kind", "name", "type"}, *const dims[] = {"dimension", "#min", "max"};
    xf_table t = xf_table_begin(d, "signature", head, 3);
    for (uint32_t i = 0; i < p->head->n_inputs + p->head->n_outputs; i++) {
        xf_cell(&t, "%s", i < p->head->n_inputs ? "input" : "output");
        xf_cell(&t, "%s", xf_plan_str(p, p->args[i].name));
        xf_cell(&t, "%s", type_text(d, p, &p->args[i]));
    }
    xf_table_end(&t);
    t = xf_table_begin(d, "dimensions", dims, 3);
    for (uint32_t i = 0; i < p->head->n_symbols; i++) {
        if (p->symbols[i].defined) continue; /* not for the caller to choose */
        xf_cell(&t, "%s", xf_plan_str(p, p->symbols[i].name));
        xf_cell(&t, "%" PRId64, p->symbols[i].lo);
        if (p->symbols[i].hi < 0)
            xf_cell(&t, "any");
        else
            xf_cell(&t, "%" PRId64, p->symbols[i].hi);
    }
    xf_table_end(&t);
    dump_padding(d, p);
    dump_caches(d, p);
}

static const char *operand_text(xf_dump *d, const xf_plan *p, const xf_operand *o) {
    switch (o->space) {
    case XF_SPACE_INPUT: return xfc_sprintf(d->arena, "input %s", xf_plan_str(p, p->args[o->index].name));
    case XF_SPACE_OUTPUT:
        return xfc_sprintf(d->arena, "output %s", xf_plan_str(p, p->args[p->head->n_inputs + o->index].name));
    case XF_SPACE_WEIGHT: return xfc_sprintf(d->arena, "weight@%" PRIu64, o->offset);
    case XF_SPACE_HEAP: return xfc_sprintf(d->arena, "heap %u", o->index);
    default: return xfc_sprintf(d->arena, "work@%s", value_text(d, p, o->value));
    }
}

/* What a define gives values to, with their ranges. */
static void print_defined(xf_dump *d, const xf_plan *p, const xf_step_info *s, xfc_buf *out) {
    bool defines = s->kind == XF_STEP_DEFINE || s->kind == XF_STEP_BRANCH || s->kind == XF_STEP_LOOP;
    const uint32_t count = s->kind == XF_STEP_LOOP ? s->n_numbers / 5 * 3 : s->n_numbers;
    for (uint32_t i = 0; defines && i < count; i += 3) {
        const xf_val *n = &p->numbers[s->first_number + i];
        const char *name = xf_plan_str(p, p->symbols[n[0]].name);
        xfc_buf_printf(out, "%s%s in %s..", i ? "; " : "", name, value_text(d, p, n[1]));
        xfc_buf_str(out, value_text(d, p, n[2]));
    }
}

static const char *operands_text(xf_dump *d, const xf_plan *p, uint32_t first, uint32_t n) {
    xfc_buf b = {.arena = d->arena};
    for (uint32_t i = 0; i < n; i++)
        xfc_buf_printf(&b, "%s%s", i ? "; " : "", operand_text(d, p, &p->operands[first + i]));
    return b.text ? b.text : "";
}

/* branch, loop: the steps of their bodies, which come next. */
static const char *form_text(xf_dump *d, const xf_plan *p, uint32_t i) {
    const xf_step_info *s = &p->steps[i];
    const char *form = xf_plan_str(p, s->form);
    if (s->kind == XF_STEP_LOOP) return xfc_sprintf(d->arena, "%s: %u step%s", form, s->span, s->span == 1 ? "" : "s");
    if (s->kind != XF_STEP_BRANCH) return form;
    return xfc_sprintf(d->arena, "%s: %u step%s, else %u", form, s->kernel, s->kernel == 1 ? "" : "s",
                       s->span - s->kernel);
}

/* Of a step that runs code of the model. */
static const char *kernel_text(xf_dump *d, const xf_step_info *s) {
    return s->kind == XF_STEP_KERNEL ? xfc_sprintf(d->arena, "%u", s->kernel) : "";
}

static void dump_plan(xf_dump *d, const xf_plan *p, const char *key, const char *title) {
    static const char *const head[] = {"#step", "#kernel", "form",   "tasks",   "grain", "scratch",
                                       "flops", "reads",   "writes", "results", "node"};
    xf_table t = xf_table_begin(d, key, head, XFC_COUNT(head));
    t.title = title;
    for (uint32_t i = 0; i < p->head->n_steps; i++) {
        const xf_step_info *s = &p->steps[i];
        xfc_buf results = {.arena = d->arena};
        for (uint32_t k = 0; k < s->n_out; k++)
            xfc_buf_printf(&results, "%s%s", k ? "; " : "", type_text(d, p, &p->args[s->first_out_arg + k]));
        print_defined(d, p, s, &results);
        xf_cell(&t, "%u", i);
        xf_cell(&t, "%s", kernel_text(d, s));
        xf_cell(&t, "%s", form_text(d, p, i));
        bool routine = s->kind == XF_STEP_CALL; /* which says its tasks and scratch when it runs */
        xf_cell(&t, "%s", value_text(d, p, routine ? XF_VAL_NONE : s->tasks));
        xf_cell(&t, "%s", value_text(d, p, routine ? XF_VAL_NONE : s->grain));
        xf_cell(&t, "%s", value_text(d, p, routine ? XF_VAL_NONE : s->scratch));
        xf_cell(&t, "%s", value_text(d, p, s->flops));
        xf_cell(&t, "%s", operands_text(d, p, s->first_operand, s->n_in));
        xf_cell(&t, "%s", operands_text(d, p, s->first_operand + s->n_in, s->n_out));
        xf_cell(&t, "%s", results.text ? results.text : "");
        xf_cell(&t, "%s", s->n_nodes ? xf_plan_str(p, p->nodes[s->first_node + s->n_nodes - 1]) : "");
    }
    xf_table_end(&t);
}

static void dump_memory(xf_dump *d, const xf_plan *p, const char *key, const char *title) {
    static const char *const total[] = {"workspace bytes", "#weight bytes"};
    xf_table t = xf_table_begin(d, key, total, 2);
    t.title = title;
    xf_cell(&t, "%s", value_text(d, p, p->head->work_bytes));
    xf_cell(&t, "%" PRIu64, p->head->weight_bytes);
    xf_table_end(&t);
}

void xf_dump_plans(xf_dump *d, const xf_plan *plan) {
    static const struct {
        const char *plan, *plan_title, *memory, *memory_title;
    } text[XF_N_PLANS] = {
        {"plan", "plan of run", "memory", "memory of run"},
        {"equal plan", "plan of run where dims agree", "equal memory", "memory of run where dims agree"},
        {"packed plan", "plan of run_packed (--packed-entry)", "packed memory", "memory of run_packed"},
    };
    for (int i = 0; i < XF_N_PLANS; i++) {
        if (!plan[i].head) continue;
        dump_plan(d, &plan[i], text[i].plan, text[i].plan_title);
        dump_memory(d, &plan[i], text[i].memory, text[i].memory_title);
    }
}

void xf_dump_meta(xf_dump *d, const xf_plan *p) {
    static const char *const head[] = {"key", "value"};
    xf_table t = xf_table_begin(d, "metadata", head, 2);
    xfc_buf id = {.arena = d->arena};
    for (size_t i = 0; i < sizeof p->head->build_id; i++) xfc_buf_printf(&id, "%02x", p->head->build_id[i]);
    xf_cell(&t, "build id");
    xf_cell(&t, "%s", id.text);
    for (uint32_t i = 0; i < p->head->n_meta; i++) {
        xf_cell(&t, "%s", xf_plan_str(p, p->meta[i].key));
        xf_cell(&t, "%s", xf_plan_str(p, p->meta[i].value));
    }
    xf_table_end(&t);
}

/* "[pass] text" of metadata note.N: the pass, or NULL if it is no note. */
static const char *note_pass(xf_dump *d, const xf_plan *p, const xf_meta *m, const char **text) {
    const char *value = xf_plan_str(p, m->value), *end = strchr(value, ']');
    if (strncmp(xf_plan_str(p, m->key), "note.", 5) != 0 || value[0] != '[' || !end) return NULL;
    *text = end + 1 + strspn(end + 1, " ");
    return xfc_intern_n(d->ctx->strings, value + 1, (size_t)(end - value - 1));
}

/* Pass by pass, in the order of their first notes. */
void xf_dump_passes(xf_dump *d, const xf_plan *p) {
    static const char *const head[] = {"pass", "note"};
    xf_table t = xf_table_begin(d, "passes", head, 2);
    xfc_map done = {.arena = d->arena};
    const char *text;
    for (uint32_t i = 0; i < p->head->n_meta; i++) {
        const char *pass = note_pass(d, p, &p->meta[i], &text);
        if (!pass || xfc_map_get(&done, (uint64_t)(uintptr_t)pass)) continue;
        xfc_map_set(&done, (uint64_t)(uintptr_t)pass, 1);
        for (uint32_t k = i; k < p->head->n_meta; k++) {
            if (note_pass(d, p, &p->meta[k], &text) != pass) continue;
            xf_cell(&t, "%s", pass);
            xf_cell(&t, "%s", text);
        }
    }
    xf_table_end(&t);
}

/* "lossy.0", ... (tools/lossy/record.c) */
void xf_dump_lossy(xf_dump *d, const xf_plan *p) {
    static const char *const head[] = {"what was made inexact"};
    xf_table t = xf_table_begin(d, "lossy", head, 1);
    for (uint32_t i = 0; i < p->head->n_meta; i++)
        if (!strncmp(xf_plan_str(p, p->meta[i].key), "lossy.", 6)) xf_cell(&t, "%s", xf_plan_str(p, p->meta[i].value));
    if (t.n == 0) xf_cell(&t, "nothing by --lossy");
    xf_table_end(&t);
}
