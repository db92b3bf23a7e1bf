/* mutate_onnx.c - a mutator that knows what an ONNX file is made of: LLVMFuzzerCustomMutator for onnx_import.c.
 *
 * Flipped bytes rarely get past the reader. Here the message is decoded, one to four changes are made that keep it a
 * message (sizes, attributes, types, operators, wires, the contents of small integer lists), and it is packed again;
 * the same seed gives the same file. Every eighth time, and where the bytes are no model, bytes are damaged instead.
 *
 * The messages live in an arena and are never freed one by one, so changes may share parts of them. Tensor data is no
 * part of the importer's description of the format: protobuf-c keeps it as unknown fields, which are changed as such.
 */
#include "ir/base/arena.h"
#include "onnx.pb-c.h"

#include <math.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

enum { INT64 = 7, INT64_DATA = 7, RAW_DATA = 9 };
#define LENGTH_DELIMITED PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED
enum { MAX_CHANGES = 4, MAX_LIST = 64, MAX_GRAPHS = 64 };

/* Everything of one kind in the file, wherever it stands. */
#define PARTS(type, name)                                                                                              \
    type **name;                                                                                                       \
    uint32_t n_##name, cap_##name
typedef struct {
    xfc_arena *arena;
    uint64_t state;
    Onnx__ModelProto *model;
    PARTS(Onnx__GraphProto, graph);
    PARTS(Onnx__NodeProto, node);
    PARTS(Onnx__AttributeProto, attr);
    PARTS(Onnx__TensorProto, tensor);
    PARTS(Onnx__ValueInfoProto, info);
} mutation;
#define ADD(m, name, part) (xfc_push((m)->arena, (m)->name, (m)->n_##name, (m)->cap_##name) = (part))
#define SOME(m, name) ((m)->n_##name ? (m)->name[pick((m), (m)->n_##name)] : NULL)

/* 0 .. n - 1 (splitmix64) */
static size_t pick(mutation *m, size_t n) {
    uint64_t z = m->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (size_t)((z ^ z >> 31) % n);
}

static int64_t number(mutation *m) {
    static const int64_t extreme[] = {INT64_MIN,
                                      INT64_MIN + 1,
                                      INT64_MAX,
                                      INT64_MAX - 1,
                                      -((int64_t)1 << 62),
                                      (int64_t)1 << 62,
                                      (int64_t)3 << 61,
                                      (int64_t)1 << 40,
                                      (int64_t)1 << 59,
                                      INT32_MIN,
                                      INT32_MAX,
                                      (int64_t)1 << 31,
                                      (int64_t)1 << 32,
                                      ((int64_t)1 << 32) + 1,
                                      3037000500,
                                      1000003,
                                      65536};
    return pick(m, 2) ? extreme[pick(m, XFC_COUNT(extreme))] : (int64_t)pick(m, 12) - 3;
}

static float real(mutation *m) {
    static const float extreme[] = {0.0f,  -0.0f,  1.0f,  -1.0f, 0.5f,     1e-38f,
                                    3e38f, -3e38f, 1e10f, NAN,   INFINITY, -INFINITY};
    return extreme[pick(m, XFC_COUNT(extreme))];
}

/* --- what there is --- */

static void collect_graph(mutation *m, Onnx__GraphProto *g);

static void collect_nodes(mutation *m, Onnx__NodeProto **node, size_t n) {
    for (size_t i = 0; i < n; i++) {
        ADD(m, node, node[i]);
        for (size_t k = 0; k < node[i]->n_attribute; k++) {
            Onnx__AttributeProto *a = node[i]->attribute[k];
            ADD(m, attr, a);
            if (a->t) ADD(m, tensor, a->t);
            if (a->g) collect_graph(m, a->g);
        }
    }
}

static void collect_graph(mutation *m, Onnx__GraphProto *g) {
    if (m->n_graph >= MAX_GRAPHS) return;
    ADD(m, graph, g);
    for (size_t i = 0; i < g->n_input; i++) ADD(m, info, g->input[i]);
    for (size_t i = 0; i < g->n_output; i++) ADD(m, info, g->output[i]);
    for (size_t i = 0; i < g->n_initializer; i++) ADD(m, tensor, g->initializer[i]);
    collect_nodes(m, g->node, g->n_node);
}

static void collect(mutation *m) {
    m->n_graph = m->n_node = m->n_attr = m->n_tensor = m->n_info = 0;
    if (m->model->graph) collect_graph(m, m->model->graph);
    for (size_t i = 0; i < m->model->n_functions; i++)
        collect_nodes(m, m->model->functions[i]->node, m->model->functions[i]->n_node);
}

/* --- tensor data: one unknown field --- */

static size_t read_varint(const uint8_t *p, size_t n, uint64_t *out) {
    *out = 0;
    for (size_t i = 0; i < n && i < 10; i++) {
        *out |= (uint64_t)(p[i] & 127) << 7 * i;
        if (p[i] < 128) return i + 1;
    }
    return 0;
}

static ProtobufCMessageUnknownField *data_field(Onnx__TensorProto *t) {
    for (unsigned i = 0; i < t->base.n_unknown_fields; i++) {
        ProtobufCMessageUnknownField *f = &t->base.unknown_fields[i];
        if (f->wire_type == LENGTH_DELIMITED && (f->tag == RAW_DATA || f->tag == INT64_DATA)) return f;
    }
    return NULL;
}

static void set_raw(mutation *m, Onnx__TensorProto *t, const void *bytes, size_t n) {
    ProtobufCMessageUnknownField *f = data_field(t);
    if (!f) {
        f = xfc_new_array(m->arena, ProtobufCMessageUnknownField, t->base.n_unknown_fields + 1u);
        if (t->base.n_unknown_fields) memcpy(f, t->base.unknown_fields, t->base.n_unknown_fields * sizeof *f);
        t->base.unknown_fields = f;
        f += t->base.n_unknown_fields++;
    }
    uint8_t *p = f->data = xfc_alloc(m->arena, n + 10, 1);
    for (size_t rest = n; rest > 127 || (*p++ = (uint8_t)rest, false); rest >>= 7) *p++ = (uint8_t)(rest | 128);
    if (n) memcpy(p, bytes, n);
    f->tag = RAW_DATA;
    f->wire_type = LENGTH_DELIMITED;
    f->len = (size_t)(p - f->data) + n;
}

/* The entries of a small list of integers, as int64_data or raw_data; false: it is none. */
static bool int_list(Onnx__TensorProto *t, int64_t list[MAX_LIST], size_t *n) {
    const ProtobufCMessageUnknownField *f = data_field(t);
    uint64_t bytes, entry;
    size_t at = f && t->data_type == INT64 ? read_varint(f->data, f->len, &bytes) : 0, used;
    if (!at) return false;
    if (f->tag == RAW_DATA) {
        *n = (f->len - at) / sizeof *list;
        if (*n && *n <= MAX_LIST) memcpy(list, f->data + at, *n * sizeof *list);
        return *n && *n <= MAX_LIST;
    }
    for (*n = 0; at < f->len && *n < MAX_LIST; at += used, list[(*n)++] = (int64_t)entry)
        if (!(used = read_varint(f->data + at, f->len - at, &entry))) return false;
    return *n && at == f->len;
}

/* --- the changes: false where there is nothing to change --- */

static bool change_size(mutation *m) { /* of an input or output */
    Onnx__ValueInfoProto *v = SOME(m, info);
    Onnx__TensorTypeProto *t = v && v->type ? v->type->tensor_type : NULL;
    if (!t || !t->shape || !t->shape->n_dim) return false;
    Onnx__DimensionProto *d = t->shape->dim[pick(m, t->shape->n_dim)];
    static char names[][6] = {"a", "b", "batch"};
    size_t name = pick(m, 8);
    d->dim_param = name < XFC_COUNT(names) ? names[name] : NULL;
    d->has_dim_value = !d->dim_param;
    d->dim_value = number(m);
    return true;
}

static void replace_size(Onnx__ValueInfoProto *v, int64_t from, int64_t to) {
    const Onnx__TensorTypeProto *t = v->type ? v->type->tensor_type : NULL;
    for (size_t i = 0; t && t->shape && i < t->shape->n_dim; i++)
        if (t->shape->dim[i]->dim_value == from) t->shape->dim[i]->dim_value = to;
}

/* Wherever it stands in an input or output: sizes that must agree still do, and the model gets past inference. */
static bool change_size_everywhere(mutation *m) {
    const Onnx__ValueInfoProto *v = SOME(m, info);
    const Onnx__TensorTypeProto *t = v && v->type ? v->type->tensor_type : NULL;
    if (!t || !t->shape || !t->shape->n_dim) return false;
    int64_t from = t->shape->dim[pick(m, t->shape->n_dim)]->dim_value, to = number(m);
    for (uint32_t i = 0; i < m->n_info; i++) replace_size(m->info[i], from, to);
    return true;
}

static bool change_type(mutation *m) {
    Onnx__ValueInfoProto *v = SOME(m, info);
    Onnx__TensorTypeProto *t = v && v->type ? v->type->tensor_type : NULL;
    if (!t) return false;
    t->elem_type = (int32_t)pick(m, 24);
    t->has_elem_type = true;
    return true;
}

static bool change_tensor_dim(mutation *m) {
    Onnx__TensorProto *t = SOME(m, tensor);
    if (!t) return false;
    if (t->n_dims && pick(m, 4)) return t->dims[pick(m, t->n_dims)] = number(m), true;
    if (t->n_dims && pick(m, 2)) return t->n_dims--, true;
    int64_t *dims = xfc_new_array(m->arena, int64_t, t->n_dims + 1);
    if (t->n_dims) memcpy(dims, t->dims, t->n_dims * sizeof *dims);
    dims[t->n_dims++] = pick(m, 2) ? 1 : number(m);
    t->dims = dims;
    return true;
}

static bool change_tensor_type(mutation *m) {
    Onnx__TensorProto *t = SOME(m, tensor);
    if (!t) return false;
    t->data_type = (int32_t)pick(m, 24);
    t->has_data_type = true;
    return true;
}

static bool change_data_bytes(mutation *m) { /* more or fewer than the dims say */
    Onnx__TensorProto *t = SOME(m, tensor);
    static const uint8_t bytes[256] = {1, 0, 0, 0, 2};
    if (t) set_raw(m, t, bytes, pick(m, sizeof bytes));
    return t != NULL;
}

static bool change_list(mutation *m) { /* shapes, axes, starts, ends */
    Onnx__TensorProto *t = SOME(m, tensor);
    int64_t list[MAX_LIST];
    size_t n;
    if (!t || !int_list(t, list, &n)) return false;
    list[pick(m, n)] = number(m);
    set_raw(m, t, list, n * sizeof *list);
    return true;
}

/* An integer input gets contents: shape operands of the node suite are inputs, and would be refused as unknown. */
static bool fix_input(mutation *m) {
    Onnx__GraphProto *g = m->model->graph;
    if (!g || !g->n_input) return false;
    const Onnx__ValueInfoProto *v = g->input[pick(m, g->n_input)];
    const Onnx__TensorTypeProto *type = v->type ? v->type->tensor_type : NULL;
    if (!type || type->elem_type != INT64 || !type->shape || type->shape->n_dim > 1) return false;
    size_t n = type->shape->n_dim ? (size_t)type->shape->dim[0]->dim_value : 1;
    if (!n || n > MAX_LIST) return false;
    int64_t list[MAX_LIST];
    for (size_t i = 0; i < n; i++) list[i] = pick(m, 3) ? (int64_t)pick(m, 4) : number(m);
    Onnx__TensorProto *t = xfc_new(m->arena, Onnx__TensorProto);
    onnx__tensor_proto__init(t);
    t->name = v->name;
    t->data_type = INT64;
    t->has_data_type = true;
    t->dims = xfc_new_array(m->arena, int64_t, 1);
    t->dims[0] = (int64_t)n;
    t->n_dims = type->shape->n_dim;
    set_raw(m, t, list, n * sizeof *list);
    Onnx__TensorProto **all = xfc_new_array(m->arena, Onnx__TensorProto *, g->n_initializer + 1);
    if (g->n_initializer) memcpy(all, g->initializer, g->n_initializer * sizeof *all);
    all[g->n_initializer++] = t;
    g->initializer = all;
    return true;
}

static bool change_attribute(mutation *m) {
    Onnx__AttributeProto *a = SOME(m, attr);
    if (!a) return false;
    if (a->has_i) return a->i = pick(m, 3) ? number(m) : (int64_t)pick(m, 24), true; /* also a type, for casts */
    if (a->has_f) return a->f = real(m), true;
    if (a->n_floats) return a->floats[pick(m, a->n_floats)] = real(m), true;
    if (a->n_ints && pick(m, 8) == 0) return a->n_ints--, true;
    if (a->n_ints) return a->ints[pick(m, a->n_ints)] = number(m), true;
    return false;
}

static bool drop_attribute(mutation *m) {
    Onnx__NodeProto *n = SOME(m, node);
    if (!n || !n->n_attribute) return false;
    n->attribute[pick(m, n->n_attribute)] = n->attribute[n->n_attribute - 1];
    n->n_attribute--;
    return true;
}

static bool change_op(mutation *m) { /* to one that takes as many operands */
    static const struct {
        const char *domain, *op;
        uint32_t least, most;
    } rows[] = {
#define X(in, name, first, last, fn, min_in, max_in, ...) {in, name, min_in, max_in},
#include "frontend/onnx/onnx_ops.def"
#undef X
    };
    Onnx__NodeProto *n = SOME(m, node);
    for (int tries = 0; n && tries < 64; tries++) {
        size_t to = pick(m, XFC_COUNT(rows));
        if (n->n_input < rows[to].least || n->n_input > rows[to].most) continue;
        n->op_type = xfc_memdup(m->arena, rows[to].op, strlen(rows[to].op) + 1, 1);
        n->domain = xfc_memdup(m->arena, rows[to].domain, strlen(rows[to].domain) + 1, 1);
        return true;
    }
    return false;
}

/* A name of the graph's values. */
static char *value_name(mutation *m, const Onnx__GraphProto *g) {
    size_t at = pick(m, g->n_input + g->n_initializer + g->n_node);
    if (at < g->n_input) return g->input[at]->name;
    if ((at -= g->n_input) < g->n_initializer) return g->initializer[at]->name;
    const Onnx__NodeProto *n = g->node[at - g->n_initializer];
    return n->n_output ? n->output[pick(m, n->n_output)] : NULL;
}

static bool rewire(mutation *m) {
    Onnx__GraphProto *g = SOME(m, graph);
    Onnx__NodeProto *n = g && g->n_node ? g->node[pick(m, g->n_node)] : NULL;
    if (!n || !n->n_input) return false;
    char *name = value_name(m, g);
    if (name) n->input[pick(m, n->n_input)] = name;
    return name != NULL;
}

static bool change_opset(mutation *m) {
    if (!m->model->n_opset_import) return false;
    Onnx__OperatorSetIdProto *o = m->model->opset_import[pick(m, m->model->n_opset_import)];
    o->version = pick(m, 8) ? (int64_t)pick(m, 27) : number(m);
    o->has_version = true;
    return true;
}

static bool drop_node(mutation *m) {
    Onnx__GraphProto *g = SOME(m, graph);
    if (!g || !g->n_node) return false;
    size_t at = pick(m, g->n_node--);
    memmove(g->node + at, g->node + at + 1, (g->n_node - at) * sizeof *g->node);
    return true;
}

/* A copy of a node before it, with outputs of its own, one of which the node now reads. */
static bool repeat_node(mutation *m) {
    Onnx__GraphProto *g = SOME(m, graph);
    if (!g || !g->n_node) return false;
    Onnx__NodeProto **all = xfc_new_array(m->arena, Onnx__NodeProto *, g->n_node + 1);
    size_t at = pick(m, g->n_node);
    memcpy(all, g->node, at * sizeof *all);
    memcpy(all + at + 1, g->node + at, (g->n_node - at) * sizeof *all);
    Onnx__NodeProto *first = all[at] = xfc_dup_array(m->arena, Onnx__NodeProto, g->node[at], 1);
    g->node = all;
    g->n_node++;
    if (!first->n_output || !first->n_input) return true; /* defined twice: to be refused */
    first->output = xfc_dup_array(m->arena, char *, first->output, first->n_output);
    for (size_t i = 0; i < first->n_output; i++) {
        size_t length = strlen(first->output[i]);
        char *name = xfc_alloc(m->arena, length + 2, 1);
        memcpy(name, first->output[i], length);
        name[length] = '\'';
        first->output[i] = name;
    }
    Onnx__NodeProto *second = all[at + 1];
    second->input[pick(m, second->n_input)] = first->output[0];
    return true;
}

typedef bool change(mutation *);
static change *const changes[] = {change_size,
                                  change_size_everywhere,
                                  change_size_everywhere,
                                  change_type,
                                  change_tensor_dim,
                                  change_tensor_type,
                                  change_data_bytes,
                                  change_list,
                                  change_list,
                                  fix_input,
                                  fix_input,
                                  change_attribute,
                                  change_attribute,
                                  drop_attribute,
                                  change_op,
                                  change_op,
                                  rewire,
                                  change_opset,
                                  drop_node,
                                  repeat_node};

/* --- the whole --- */

static void *arena_alloc(void *arena, size_t n) { return xfc_alloc(arena, n, _Alignof(max_align_t)); }
static void arena_free(void *arena, void *p) { (void)arena, (void)p; }

/* The size of the changed file; 0: the bytes are no model, or it grew beyond max. */
static size_t mutate_model(mutation *m, uint8_t *data, size_t size, size_t max) {
    ProtobufCAllocator allocator = {arena_alloc, arena_free, m->arena};
    m->model = onnx__model_proto__unpack(&allocator, size, data);
    if (!m->model) return 0;
    for (size_t left = pick(m, MAX_CHANGES) + 1, tries = 64; left && tries; tries--) {
        collect(m);
        left -= changes[pick(m, XFC_COUNT(changes))](m);
    }
    if (onnx__model_proto__get_packed_size(m->model) > max) return 0;
    return onnx__model_proto__pack(m->model, data);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
    mutation m = {.arena = xfc_arena_new(), .state = seed};
    size_t n = pick(&m, 8) ? mutate_model(&m, data, size, max) : 0;
    xfc_arena_free(m.arena);
    return n ? n : LLVMFuzzerMutate(data, size, max);
}
