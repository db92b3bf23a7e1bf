/* Tests of ir/base/diag: the form of messages, limits, exit codes, clean-up. */
#include "ir/base/diag.h"

#include "tests/unit/test.h"

static const char *line(xfc_ctx *c, xfc_loc loc, const char *text) {
    uint32_t at = c->n_diags;
    xfc_fail(c, XFC_ERR_INPUT, loc, "%s", text);
    xfc_buf b = {.arena = c->arena};
    xfc_diag_format(&b, &c->diags[at]);
    return b.text;
}

static void forms(void) {
    xfc_ctx *c = xfc_ctx_new();
    xfc_loc full = {.file = "bert.onnx", .node = "/l.3/Loop_12", .op = "ai.onnx::Loop", .opset = 13};
    CHECK_STR(line(c, full, "no"), "bert.onnx: error: node '/l.3/Loop_12' (ai.onnx::Loop, opset 13): no");
    CHECK_STR(line(c, (xfc_loc){.file = "a.onnx"}, "empty file"), "a.onnx: error: empty file");
    CHECK_STR(line(c, (xfc_loc){.file = "a.xf", .line = 7}, "what"), "a.xf:7: error: what");
    CHECK_STR(line(c, (xfc_loc){0}, "what"), "error: what");
    CHECK_STR(line(c, (xfc_loc){.node = "n"}, "what"), "error: node 'n': what");
    CHECK_STR(line(c, (xfc_loc){.op = "Add"}, "what"), "error: (Add): what");
    CHECK_STR(line(c, (xfc_loc){.node = "evil\n\x1b[2J"}, "two\nlines"), "error: node 'evil\\n\\x1B[2J': two\\nlines");
    CHECK_INT(xfc_fail(c, XFC_ERR_UNSUPPORTED, full, "x"), XFC_ERR_UNSUPPORTED);
    CHECK_INT(c->n_errors, 8);
    CHECK_INT(c->n_diags, 8);
    xfc_buf b = {.arena = c->arena};
    xfc_diag_format(&b, &(xfc_diag){.is_note = true, .loc = full, .text = "3 kernels"});
    CHECK_STR(b.text, "bert.onnx: note: node '/l.3/Loop_12' (ai.onnx::Loop, opset 13): 3 kernels");
    xfc_ctx_free(c);
}

static const char *printed(const xfc_ctx *c, bool as_json, char *text, size_t size) {
    FILE *f = tmpfile();
    if (!f) return "";
    xfc_diags_print(c, f, as_json);
    rewind(f);
    text[fread(text, 1, size - 1, f)] = 0;
    fclose(f);
    return text;
}

static void printing(void) {
    static char text[1 << 16];
    xfc_ctx *c = xfc_ctx_new();
    xfc_fail(c, XFC_ERR_INPUT, (xfc_loc){.file = "a\"b.onnx", .node = "n", .op = "Add", .opset = 17}, "bad \\ worse");
    CHECK_STR(printed(c, true, text, sizeof(text)),
              "{\"file\":\"a\\\"b.onnx\",\"severity\":\"error\",\"node\":\"n\",\"op\":\"Add\",\"opset\":17,\"line\":0,"
              "\"message\":\"bad \\\\ worse\"}\n");
    for (int i = 0; i < 1000; i++) xfc_fail(c, XFC_ERR_INPUT, (xfc_loc){0}, "error number %d", i);
    CHECK_INT(c->n_errors, 1001);
    CHECK_INT(c->n_diags, 200);
    printed(c, false, text, sizeof(text));
    CHECK_CONTAINS(text, "error: error number 198\n");
    CHECK(strstr(text, "error number 199") == NULL);
    CHECK_CONTAINS(text, "note: 801 more errors");
    CHECK_CONTAINS(printed(c, true, text, sizeof(text)), "\"severity\":\"note\"");
    xfc_ctx_free(c);
}

static void append(void *user) { /* each call writes the next letter */
    char *text = user;
    size_t n = strlen(text);
    text[n] = (char)('a' + n);
}

static void clean_up(void) {
    char order[4] = "", other[4] = "zz";
    xfc_ctx *c = xfc_ctx_new();
    xfc_ctx_at_exit(c, append, order);
    xfc_ctx_at_exit(c, append, order);
    xfc_ctx_at_exit(c, append, other);
    CHECK_STR(order, "");
    xfc_ctx_free(c);
    CHECK_STR(order, "ab");
    CHECK_STR(other, "zzc");
    xfc_ctx_free(NULL);
}

int main(void) {
    forms();
    printing();
    clean_up();
    CHECK_INT(xfc_exit_code(XFC_OK), 0);
    CHECK_INT(xfc_exit_code(XFC_ERR_INPUT), 1);
    CHECK_INT(xfc_exit_code(XFC_ERR_UNSUPPORTED), 3);
    CHECK_INT(xfc_exit_code(XFC_ERR_LIMIT), 1);
    CHECK_INT(xfc_exit_code(XFC_ERR_IO), 4);
    CHECK_INT(xfc_exit_code(XFC_ERR_TOOL), 1);
    CHECK_INT(xfc_exit_code(XFC_ERR_VERIFY), 5);
    CHECK_EXIT(70, xfc_bug("x.c", 1, "broken %d", 1));
    CHECK_EXIT(70, xfc_assert(1 + 1 == 3));
    return test_end();
}
