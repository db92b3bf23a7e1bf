/* so.c - what is in a compiled model, read from the file alone: nothing is loaded, nothing in it is trusted. */
#include "ir/base/map.h"
#include "ir/eval/eval.h"
#include "runtime/include/xfc/abi.h"
#include "tools/dump/dump.h"
#include <inttypes.h>
#include <string.h>
#include <zlib.h>

static xfc_status damaged(xf_dump *d, const char *path, const char *what) {
    return xfc_fail(d->ctx, XFC_ERR_INPUT, (xfc_loc){.file = path}, "%s; compile the model again", what);
}

static const char *const plan_section[XF_N_PLANS] = XF_PLAN_SECTIONS;

static xfc_status open_plans(xf_dump *d, const char *path, const xf_file *f, xf_plan *plan) {
    memset(plan, 0, XF_N_PLANS * sizeof *plan);
    for (int i = 0; i < XF_N_PLANS; i++) {
        size_t at, bytes;
        if (!xf_elf_section(f->data, f->size, plan_section[i], &at, &bytes)) continue;
        const void *blob = xfc_memdup(d->arena, f->data + at, bytes, 16); /* in a foreign file it may lie anywhere */
        const char *why = xf_plan_open(&plan[i], blob, bytes);
        if (!why) continue;
        return damaged(d, path, xfc_sprintf(d->arena, "the plan in %s cannot be read: %s", plan_section[i], why));
    }
    if (plan[XF_PLAN_RUN].head) return XFC_OK;
    return xfc_fail(d->ctx, XFC_ERR_INPUT, (xfc_loc){.file = path},
                    "it has no section %s, so it is not a model that xfc compiled; give one", XF_SECTION_PLAN);
}

/* The embedded IR text. Its length comes from the file, so it is checked against what deflate can expand to. */
static xfc_status read_ir(xf_dump *d, const char *path, const xf_file *f, const char **text, size_t *n) {
    enum { MOST_EXPANSION = 1040 };
    size_t at, bytes;
    if (!xf_elf_section(f->data, f->size, XF_SECTION_IR, &at, &bytes))
        return damaged(d, path, "it has no section " XF_SECTION_IR ", so the IR text was left out or stripped");
    uint64_t length = 0;
    if (bytes < 8) return damaged(d, path, "the IR text is cut off");
    for (int i = 0; i < 8; i++) length |= (uint64_t)f->data[at + (size_t)i] << 8 * i;
    if (length > (uint64_t)bytes * MOST_EXPANSION) return damaged(d, path, "the IR text is damaged");
    char *out = xfc_alloc(d->arena, (size_t)length + 1, 1);
    uLongf got = (uLongf)length;
    if (uncompress((Bytef *)out, &got, f->data + at + 8, (uLong)(bytes - 8)) != Z_OK || got != length)
        return damaged(d, path, "the IR text is damaged");
    *text = out;
    *n = (size_t)length;
    return XFC_OK;
}

/* `  %w = const "name" : f32[768, 3072] = ...`: the name and the type. */
static void weight_line(xf_table *t, const char *line, size_t n) {
    static const char key[] = " = const ";
    const char *end = line + n, *at = line;
    while (at + sizeof key <= end && memcmp(at, key, sizeof key - 1) != 0) at++;
    if (at + sizeof key > end) return;
    const char *name = at + sizeof key - 1, *colon = name;
    for (bool quoted = false; colon < end && (quoted || *colon != ':'); colon++) {
        if (*colon == '\\' && quoted && colon + 1 < end)
            colon++;
        else if (*colon == '"')
            quoted = !quoted;
    }
    if (colon >= end) return;
    const char *type = colon + 1, *stop = type;
    while (stop < end && *stop != ']') stop++;
    while (type < stop && *type == ' ') type++;
    while (line < at && *line == ' ') line++;
    size_t name_bytes = (size_t)(colon - name);
    while (name_bytes && name[name_bytes - 1] == ' ') name_bytes--;
    if (name_bytes >= 2 && name[0] == '"') name++, name_bytes -= 2;
    xf_cell(t, "%.*s", (int)(at - line), line);
    xf_cell(t, "%.*s", (int)name_bytes, name);
    xf_cell(t, "%.*s", (int)(stop - type + (stop < end)), type);
}

static const char *dims_text(xf_dump *d, const xf_made_array *a) {
    xfc_buf text = {.arena = d->arena};
    for (uint32_t i = 0; i < a->rank; i++) xfc_buf_printf(&text, "%s%" PRIu64, i ? ", " : "", a->dim[i]);
    return xfc_sprintf(d->arena, "[%s]", text.n ? text.text : "");
}

static uint64_t bytes_of(const xf_made_array *a) {
    uint64_t bytes = (a->dtype >> 8 & 0xffu) / 8;
    for (uint32_t i = 0; i < a->rank; i++) bytes *= a->dim[i];
    return bytes;
}

/* Of a section of n bytes. Nothing where all weights are stored. */
static void dump_made(xf_dump *d, const xf_plan *p, const unsigned char *section, size_t n) {
    static const char *const head[] = {"weight", "#bytes", "made by", "#of bytes"};
    xf_weights_header h;
    if (xf_weights_look(p->head, section, n, &h) || h.n_made == 0) return;
    xf_table t = xf_table_begin(d, "weights made when the model is opened", head, 4);
    for (uint32_t i = 0; i < h.n_made; i++) {
        const xf_made row = xf_made_row(section, i);
        const xf_made_array *made = &row.array[row.n_operands];
        const char *name = xfc_routine_name(row.routine);
        uint64_t of = 0;
        for (uint32_t k = 0; k < row.n_operands; k++) of += bytes_of(&row.array[k]);
        xf_cell(&t, "%s", dims_text(d, made));
        xf_cell(&t, "%" PRIu64, bytes_of(made));
        xf_cell(&t, "%s", name ? name + strlen("xk_") : "?");
        xf_cell(&t, "%" PRIu64, of);
    }
    xf_table_end(&t);
}

static xfc_status dump_weights(xf_dump *d, const char *path, const xf_file *f, const xf_plan *p) {
    static const char *const head[] = {"value", "name", "type"}, *const total[] = {"section", "#file offset", "#bytes",
                                                                                   "#data bytes"};
    const char *text;
    size_t n, at = 0, bytes = 0;
    bool here = xf_elf_section(f->data, f->size, XF_SECTION_WEIGHTS, &at, &bytes);
    XFC_TRY(read_ir(d, path, f, &text, &n));
    xf_table t = xf_table_begin(d, "weights", head, 3);
    for (const char *line = text, *end = text + n; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        stop = stop ? stop : end;
        weight_line(&t, line, (size_t)(stop - line));
        line = stop + 1;
    }
    xf_table_end(&t);
    t = xf_table_begin(d, "weights section", total, 4);
    xf_cell(&t, "%s", here ? XF_SECTION_WEIGHTS : "not in this file");
    xf_cell(&t, "%zu", at);
    xf_cell(&t, "%zu", bytes);
    xf_cell(&t, "%" PRIu64, p->head->weight_bytes);
    xf_table_end(&t);
    if (here) dump_made(d, p, f->data + at, bytes);
    return XFC_OK;
}

/* --- damage --- */

static void verified(xf_table *t, const char *what, size_t bytes) {
    xf_cell(t, "%s", what);
    xf_cell(t, "%zu", bytes);
    xf_cell(t, "as xfc wrote it");
}

static xfc_status verify_weights(xf_dump *d, const char *path, const unsigned char *section, size_t n, size_t base,
                                 const xf_plan *p, xf_table *t) {
    xf_weights_header h;
    size_t from, to;
    const char *why = xf_weights_look(p->head, section, n, &h);
    if (why) return damaged(d, path, why);
    if (xf_weights_damage(section, &h, &from, &to))
        return damaged(d, path,
                       xfc_sprintf(d->arena,
                                   "the file is damaged: the weights in bytes %zu to %zu are not what xfc wrote",
                                   base + from, base + to));
    verified(t, XF_SECTION_WEIGHTS, n);
    return XFC_OK;
}

/* The weights beside a model that has none inside. */
static xfc_status verify_sidecar(xf_dump *d, const char *path, const xf_plan *p, xf_table *t) {
    xf_file f;
    path = xfc_sprintf(d->ctx->arena, "%s.weights", path);
    int number = xf_file_map(path, &f);
    if (number)
        return xfc_fail(d->ctx, XFC_ERR_IO, (xfc_loc){.file = path}, "%s; the weights of the model are in this file",
                        strerror(number));
    xfc_status s = verify_weights(d, path, f.data, f.size, 0, p, t);
    xf_file_unmap(&f);
    return s;
}

/* All that has a checksum; those of the plans were compared when they were opened. */
static xfc_status verify(xf_dump *d, const char *path, const xf_file *f, const xf_plan *p) {
    static const char *const head[] = {"section", "#bytes", "is"};
    xf_table t = xf_table_begin(d, "verified", head, 3);
    size_t at, n;
    const char *text;
    for (int i = 0; i < XF_N_PLANS; i++)
        if (p[i].head) verified(&t, plan_section[i], p[i].head->size);
    if (xf_elf_section(f->data, f->size, XF_SECTION_WEIGHTS, &at, &n))
        XFC_TRY(verify_weights(d, path, f->data + at, n, at, p, &t));
    else if (p->head->weight_bytes)
        XFC_TRY(verify_sidecar(d, path, p, &t));
    if (xf_elf_section(f->data, f->size, XF_SECTION_IR, &at, &n)) {
        size_t length;
        XFC_TRY(read_ir(d, path, f, &text, &length));
        verified(&t, XF_SECTION_IR, n);
    }
    xf_table_end(&t);
    return XFC_OK;
}

static void dump_forms(xf_dump *d, const xf_plan *p) {
    static const char *const head[] = {"form", "#steps"};
    xf_table t = xf_table_begin(d, "steps by form", head, 2);
    xfc_map count = {.arena = d->arena};
    for (uint32_t i = 0; i < p->head->n_steps; i++)
        xfc_map_set(&count, p->steps[i].form, xfc_map_get(&count, p->steps[i].form) + 1);
    for (uint32_t i = 0; i < count.n; i++) {
        xf_cell(&t, "%s", xf_plan_str(p, (uint32_t)count.entry[i].key));
        xf_cell(&t, "%" PRIu64, count.entry[i].value);
    }
    xf_table_end(&t);
}

xfc_status xf_dump_so(xf_dump *d, const char *path, const xf_file *f, const xf_dump_what *what) {
    xf_plan plan[XF_N_PLANS];
    XFC_TRY(open_plans(d, path, f, plan));
    xf_elf_view view = xf_elf_open(f, d->arena);
    if (what->ir_stage && *what->ir_stage && strcmp(what->ir_stage, "planned") != 0)
        return xfc_fail(d->ctx, XFC_ERR_INPUT, (xfc_loc){.file = path},
                        "a compiled model holds the IR of stage planned only; dump the .onnx for stage %s",
                        what->ir_stage);
    if (what->signature) xf_dump_signature(d, plan);
    if (what->ops) dump_forms(d, plan);
    if (what->isa) XFC_TRY(xf_dump_isas(d, &view, plan));
    if (what->passes) xf_dump_passes(d, plan);
    if (what->lossy) xf_dump_lossy(d, plan);
    if (what->plan) xf_dump_plans(d, plan);
    if (what->meta) xf_dump_meta(d, plan);
    if (what->weights) XFC_TRY(dump_weights(d, path, f, plan));
    if (what->verify) XFC_TRY(verify(d, path, f, plan));
    if (what->ir) {
        const char *text;
        size_t n;
        XFC_TRY(read_ir(d, path, f, &text, &n));
        xf_dump_text(d, "ir", text, n);
    }
    return what->assembly ? xf_dump_asm(d, &view, path, what->kernel) : XFC_OK;
}
