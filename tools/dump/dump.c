/* dump.c - how xf-dump prints: sections and aligned tables for people, one JSON object for programs. */
#include "tools/dump/dump.h"
#include <stdarg.h>
#include <string.h>

static void begin_part(xf_dump *d, const char *key, const char *title) {
    if (d->json) {
        xfc_buf_str(&d->out, d->n_parts ? ",\n  " : "{\n  ");
        xfc_buf_json(&d->out, key);
        xfc_buf_str(&d->out, ": ");
    } else {
        xfc_buf_printf(&d->out, "%s%s\n", d->n_parts ? "\n" : "", title ? title : key);
    }
    d->n_parts++;
}

void xf_dump_text(xf_dump *d, const char *key, const char *text, size_t n) {
    begin_part(d, key, NULL);
    if (d->json) {
        xfc_buf_json(&d->out, text);
        return;
    }
    xfc_buf_bytes(&d->out, text, n);
    if (n && text[n - 1] != '\n') xfc_buf_char(&d->out, '\n');
}

void xf_dump_end(xf_dump *d) {
    if (d->json) xfc_buf_str(&d->out, d->n_parts ? "\n}\n" : "{}\n");
}

xf_table xf_table_begin(xf_dump *d, const char *key, const char *const *head, uint32_t columns) {
    return (xf_table){.d = d, .key = key, .head = head, .columns = columns};
}

void xf_cell(xf_table *t, const char *fmt, ...) {
    xfc_buf b = {.arena = t->d->arena};
    va_list args;
    va_start(args, fmt);
    xfc_buf_vprintf(&b, fmt, args);
    va_end(args);
    xfc_push(t->d->arena, t->cell, t->n, t->cap) = b.text ? b.text : "";
}

static bool is_number(const char *s) {
    size_t n = strspn(s, "0123456789");
    return n > 0 && s[n] == '\0' && (n == 1 || s[0] != '0');
}

static void json_rows(const xf_table *t) {
    xfc_buf *out = &t->d->out;
    xfc_buf_char(out, '[');
    for (uint32_t i = 0; i < t->n; i++) {
        uint32_t c = i % t->columns;
        const char *head = t->head[c] + (t->head[c][0] == '#');
        xfc_buf_str(out, c ? ", " : i ? "},\n    {" : "\n    {");
        xfc_buf_json(out, head);
        xfc_buf_str(out, ": ");
        if (t->head[c][0] == '#' && is_number(t->cell[i]))
            xfc_buf_str(out, t->cell[i]);
        else
            xfc_buf_json(out, t->cell[i]);
    }
    xfc_buf_str(out, t->n ? "}\n  ]" : "]");
}

/* Names come from the model: what is not printable is shown as a question mark, so that nothing reaches the terminal
 * raw. */
static void print_cell(xfc_buf *out, const char *s, size_t width, bool right, bool last) {
    size_t n = strlen(s), pad = n < width ? width - n : 0;
    xfc_buf_str(out, "  ");
    for (size_t i = 0; right && i < pad; i++) xfc_buf_char(out, ' ');
    for (; *s; s++) xfc_buf_char(out, (unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
    for (size_t i = 0; !right && !last && i < pad; i++) xfc_buf_char(out, ' ');
}

static void text_rows(const xf_table *t) {
    size_t *width = xfc_new_array(t->d->arena, size_t, t->columns);
    for (uint32_t c = 0; c < t->columns; c++) width[c] = strlen(t->head[c] + (t->head[c][0] == '#'));
    for (uint32_t i = 0; i < t->n; i++) {
        size_t n = strlen(t->cell[i]);
        if (n > width[i % t->columns]) width[i % t->columns] = n < 60 ? n : 60;
    }
    for (uint32_t i = 0; i < t->columns + t->n; i++) {
        uint32_t c = i % t->columns;
        bool right = t->head[c][0] == '#';
        print_cell(&t->d->out, i < t->columns ? t->head[c] + right : t->cell[i - t->columns], width[c], right,
                   c + 1 == t->columns);
        if (c + 1 == t->columns) xfc_buf_char(&t->d->out, '\n');
    }
}

void xf_table_end(xf_table *t) {
    begin_part(t->d, t->key, t->title);
    if (t->d->json)
        json_rows(t);
    else
        text_rows(t);
}
