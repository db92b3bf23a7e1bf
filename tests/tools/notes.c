/* notes.c - what the tools say of passes: words of options, notes as lines, JSON and metadata, outputs without padding.
 *
 * The graph and its notes are made by hand, so that nothing here depends on what passes find worth telling.
 */
#include "tests/unit/test.h"
#include "tools/pass_cli.h"

static xfc_graph *graph(xfc_ctx *c) {
    xfc_graph *g = xfc_graph_new(c, "noted");
    xfc_int n = xfc_int_const(c, 2);
    xfc_value *x = xfc_graph_add_input(g, "x", xfc_type_make(XFC_F32, 1, &n));
    xfc_graph_set_outputs(g, &x, &(const char *){"y"}, 1);
    g->source = "model.onnx";
    return g;
}

/* What f prints on stderr. */
static char *captured(void (*f)(const xfc_graph *, bool), const xfc_graph *g, bool json, char *text, size_t size) {
    FILE *to = tmpfile();
    int saved = dup(2);
    if (!to || saved < 0) abort();
    fflush(stderr);
    dup2(fileno(to), 2);
    f(g, json);
    fflush(stderr);
    dup2(saved, 2);
    close(saved);
    rewind(to);
    text[fread(text, 1, size - 1, to)] = '\0';
    fclose(to);
    return text;
}

static const char *meta(const xfc_graph *g, const char *key) {
    for (uint32_t i = 0; i < g->n_meta; i += 2)
        if (!strcmp(g->meta[i], key)) return g->meta[i + 1];
    return NULL;
}

static void lines(xfc_ctx *c) {
    char text[4096];
    xfc_graph *g = graph(c);
    CHECK_STR(captured(xf_notes_print, g, false, text, sizeof text), "");
    xfc_graph_note(g, "unpad", (xfc_loc){.file = "part.onnx", .node = "at\n\"t", .op = "Add", .opset = 17}, "kept: %d",
                   3);
    xfc_graph_note(g, "fold", (xfc_loc){0}, "two\nlines");
    CHECK_STR(captured(xf_notes_print, g, false, text, sizeof text),
              "part.onnx: note: [unpad] node 'at\\n\"t': kept: 3\nmodel.onnx: note: [fold] two\\nlines\n");
    CHECK_STR(
        captured(xf_notes_print, g, true, text, sizeof text),
        "{\"file\":\"part.onnx\",\"severity\":\"note\",\"node\":\"at\\n\\\"t\",\"op\":\"Add\",\"opset\":17,\"line\":0,"
        "\"message\":\"[unpad] kept: 3\"}\n"
        "{\"file\":\"model.onnx\",\"severity\":\"note\",\"node\":null,\"op\":null,\"opset\":0,\"line\":0,"
        "\"message\":\"[fold] two\\nlines\"}\n");
    xfc_graph_free(g);
}

static void metadata(xfc_ctx *c) {
    xfc_graph *g = graph(c);
    xfc_graph_note(g, "unpad", (xfc_loc){.node = "a"}, "one");
    xf_notes_store(g, 1024);
    CHECK_STR(meta(g, "note.0"), "[unpad] node 'a': one");
    CHECK_INT(g->n_meta, 2);
    for (int i = 1; i < 1000; i++) xfc_graph_note(g, "fold", (xfc_loc){0}, "note number %d", i);
    xf_notes_store(g, 1024);
    size_t bytes = 0;
    for (uint32_t i = 1; i + 2 < g->n_meta; i += 2) bytes += strlen(g->meta[i]) + 1;
    CHECK(bytes <= 1024 && bytes > 980);
    CHECK_STR(meta(g, "note.1"), "[fold] note number 1");
    char rest[80];
    snprintf(rest, sizeof rest, "[xfc] %u further notes are left out; xfc --explain prints them all",
             1000 - g->n_meta / 2 + 1);
    CHECK_STR(g->meta[g->n_meta - 1], rest);
    xfc_graph_free(g);
}

static void padding(xfc_ctx *c) {
    xfc_graph *g = graph(c);
    xfc_buf none = {.arena = c->arena}, one = none, many = none;
    xfc_graph_meta(g, "other", "mask");
    CHECK(!xf_padding_text(g, &none));
    xfc_graph_meta(g, "padded-output:tokens", "mask");
    CHECK(xf_padding_text(g, &one));
    CHECK_STR(one.text, "output tokens holds 0 where mask is 0");
    xfc_graph_meta(g, "padded-output:decoded", "decoder_mask");
    xfc_graph_meta(g, "padded-output:hidden", "mask");
    CHECK(xf_padding_text(g, &many));
    CHECK_STR(many.text,
              "outputs tokens, hidden hold 0 where mask is 0; output decoded holds 0 where decoder_mask is 0");
    xfc_graph_free(g);
}

static void words(void) {
    xfc_pass_opts o = {.unpad = XFC_FORCE};
    xf_pass_words_read(&(xf_pass_words){0}, &o); /* not given: as it was */
    CHECK_INT(o.unpad, XFC_FORCE);
    const xf_pass_words all = {"off", "force", "off", "on", "bf16", "inplace"},
                        others = {"require", "off", "on", "off", "off", "off"},
                        first = {"auto", "auto", NULL, NULL, NULL, NULL};
    xf_pass_words_read(&all, &o);
    CHECK(o.unpad == XFC_OFF && o.pre_rmsnorm == XFC_FORCE && o.fold_ln_affine == XFC_OFF &&
          o.pre_crmsnorm == XFC_FORCE && o.compute == XFC_FORCE && o.cache == XFC_FORCE);
    xf_pass_words_read(&others, &o);
    CHECK(o.unpad == XFC_FORCE && o.pre_rmsnorm == XFC_OFF && o.fold_ln_affine != XFC_OFF &&
          o.pre_crmsnorm == XFC_OFF && o.compute == XFC_OFF && o.cache == XFC_OFF);
    xf_pass_words_read(&first, &o);
    CHECK(o.unpad == XFC_AUTO && o.pre_rmsnorm == XFC_AUTO);
    CHECK(xf_pass_names_check("test", &(xf_pass_names){.option = "-p"}));
    const xf_pass_names names = {"-p", " fold,\tcse,, dce,plan,", "fold", "all", "change"};
    CHECK(xf_pass_names_check("test", &names));
}

int main(void) {
    xfc_ctx *c = xfc_ctx_new();
    lines(c);
    metadata(c);
    padding(c);
    words();
    xfc_ctx_free(c);
    return test_end();
}
