/* Tests of ir/base/str: interning, the buffer, quoting of hostile bytes. */
#include "ir/base/str.h"

#include "tests/unit/test.h"

static void interning(xfc_arena *a) {
    xfc_interner *in = xfc_interner_new(a);
    const char *x = xfc_intern_z(in, "attention");
    CHECK(x == xfc_intern_n(in, "attention_mask", 9));
    CHECK(x != xfc_intern_z(in, "attention_mask"));
    CHECK_STR(x, "attention");
    CHECK(xfc_intern_z(in, NULL) == NULL);
    CHECK(xfc_intern_z(in, "") == xfc_intern_n(in, NULL, 0));
    CHECK(xfc_intern_n(in, "a\0b", 3) == xfc_intern_z(in, "a")); /* pointers are equal iff C strings are */
    const char *first = NULL;
    char name[32];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 20000; i++) {
            int n = snprintf(name, sizeof(name), "layer.%d", i);
            const char *s = xfc_intern_n(in, name, (size_t)n);
            if (strcmp(s, name) != 0) CHECK_STR(s, name);
            if (i == 777) {
                CHECK(round == 0 || s == first);
                first = s;
            }
        }
    }
}

static void building(xfc_arena *a) {
    xfc_buf b = {.arena = a};
    xfc_buf_str(&b, "");
    CHECK_STR(b.text, "");
    for (int i = 0; i < 1000; i++) xfc_buf_printf(&b, "%d,", i);
    CHECK_INT(b.n, 10 * 2 + 90 * 3 + 900 * 4);
    CHECK_INT(strlen(b.text), b.n);
    CHECK(memcmp(b.text, "0,1,2,", 6) == 0 && strcmp(b.text + b.n - 8, "998,999,") == 0);
    char *big = xfc_sprintf(a, "%5000d", 7); /* longer than any first guess */
    CHECK(strlen(big) == 5000 && big[4999] == '7');
    CHECK_STR(xfc_sprintf(a, "%s", ""), "");
    xfc_buf bytes = {.arena = a};
    xfc_buf_bytes(&bytes, "a\0b", 3);
    xfc_buf_char(&bytes, 'c');
    CHECK(bytes.n == 4 && memcmp(bytes.text, "a\0bc", 5) == 0);
}

static const char *quoted(xfc_arena *a, const char *s) {
    xfc_buf b = {.arena = a};
    xfc_buf_quoted(&b, s);
    return b.text;
}

static const char *json(xfc_arena *a, const char *s) {
    xfc_buf b = {.arena = a};
    xfc_buf_json(&b, s);
    return b.text;
}

static const char *plain(xfc_arena *a, const char *s) {
    xfc_buf b = {.arena = a};
    xfc_buf_plain(&b, s);
    return b.text;
}

static void quoting(xfc_arena *a) {
    CHECK_STR(quoted(a, "/layer/MatMul"), "\"/layer/MatMul\"");
    CHECK_STR(quoted(a, "a\"b\\c\nd\te"), "\"a\\\"b\\\\c\\nd\\x09e\"");
    CHECK_STR(quoted(a, NULL), "\"\"");
    CHECK_STR(quoted(a, "gr\xc3\xbc\xc3\x9f \xe6\xbc\xa2 \xf0\x9f\x98\x80"),
              "\"gr\xc3\xbc\xc3\x9f \xe6\xbc\xa2 \xf0\x9f\x98\x80\"");
    CHECK_STR(quoted(a, "\x1b[31m\x7f"), "\"\\x1B[31m\\x7F\"");
    CHECK_STR(quoted(a, "\xc0\xaf|\xed\xa0\x80|\xf5\x80\x80\x80|\xf4\x90\x80\x80"), /* overlong, surrogate, too large */
              "\"\\xC0\\xAF|\\xED\\xA0\\x80|\\xF5\\x80\\x80\\x80|\\xF4\\x90\\x80\\x80\"");
    CHECK_STR(quoted(a, "\xe6\xbc"), "\"\\xE6\\xBC\"");                            /* cut off */
    CHECK_STR(quoted(a, "\xe2\x80\xae\xc2\x85"), "\"\\xE2\\x80\\xAE\\xC2\\x85\""); /* direction override, next line */
    CHECK_STR(json(a, "a\"\\\n\x01\xff"), "\"a\\\"\\\\\\n\\u0001\\u00FF\"");
    CHECK_STR(plain(a, "say \"hi\"\\\n"), "say \"hi\"\\\\n");
}

int main(void) {
    xfc_arena *a = xfc_arena_new();
    interning(a);
    building(a);
    quoting(a);
    xfc_arena_free(a);
    return test_end();
}
