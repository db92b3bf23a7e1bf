/* foreign.c - recognises what is no ONNX file, so that a message can say what it is.
 *
 * Downloads end in web pages and pointers of Git LFS, folders hold weights in other formats beside the model, and
 * models stay in their archives. By foreign.def; three kinds need a closer look: PyTorch's archives, safetensors, and
 * texts, of which the first line is shown. What is not recognised may still be no ONNX file.
 */
#include "frontend/onnx/load.h"
#include <string.h>

enum { MAX_LINE = 60, LOOKED_AT = 256 };

typedef struct {
    uint32_t offset, n;
    const char *bytes, *what, *advice;
} magic;

static const magic magics[] = {
#define X(offset, bytes, what, advice) {offset, sizeof(bytes) - 1, bytes, what, advice},
#include "frontend/onnx/foreign.def"
#undef X
};

static bool is_at(xfc_mapping m, uint32_t offset, const char *bytes, uint32_t n) {
    return m.n >= offset + n && memcmp(m.data + offset, bytes, n) == 0;
}

/* An archive's first file is named at byte 30; PyTorch's are all in one folder, and pickles come first. */
static bool is_torch(xfc_mapping m) {
    for (size_t i = 30; i + 4 <= m.n && i < 256; i++)
        if (memcmp(m.data + i, ".pkl", 4) == 0) return true;
    return false;
}

/* The length of a header in eight bytes, then the header, in JSON. */
static bool is_safetensors(xfc_mapping m) {
    uint64_t length = 0;
    for (uint32_t i = 0; i < 8 && m.n > 9; i++) length |= (uint64_t)m.data[i] << (8 * i);
    return m.n > 9 && length <= m.n - 8 && m.data[8] == '{' && (m.data[9] == '"' || m.data[9] == '}');
}

static bool is_blank(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Where a text begins; m.n if this is none. Field numbers and lengths of a short message are no letters, and a tag
 * cannot be '<'. */
static size_t text_start(xfc_mapping m) {
    size_t start = m.n >= 3 && !memcmp(m.data, "\357\273\277", 3) ? 3 : 0; /* the mark of UTF-8 */
    while (start < m.n && is_blank(m.data[start])) start++;
    if (start < m.n && m.data[start] == '<') return start;
    for (size_t i = start; i < m.n && i < LOOKED_AT; i++)
        if (!is_blank(m.data[i]) && (m.data[i] < ' ' || m.data[i] >= 127)) return m.n;
    return start;
}

static const char *text_kind(xfc_arena *arena, xfc_mapping m) {
    size_t start = text_start(m), n = 0;
    while (start + n < m.n && n < MAX_LINE && m.data[start + n] >= ' ' && m.data[start + n] < 127) n++;
    if (!n) return NULL;
    const char *kind = m.data[start] == '<' ? "a web page or another text in HTML or XML" : "a text";
    return xfc_sprintf(arena, "%s ('%.*s'); download the file again", kind, (int)n, (const char *)m.data + start);
}

const char *xfc_foreign_file(xfc_arena *arena, xfc_mapping m) {
    if (is_at(m, 0, "PK\003\004", 4) && is_torch(m))
        return "a PyTorch file; load it in Python and export the model with torch.onnx.export";
    if (is_safetensors(m))
        return "a safetensors file, weights without a graph; export the model to ONNX, for instance with optimum-cli";
    for (size_t i = 0; i < XFC_COUNT(magics); i++)
        if (is_at(m, magics[i].offset, magics[i].bytes, magics[i].n))
            return xfc_sprintf(arena, "%s; %s", magics[i].what, magics[i].advice);
    return text_kind(arena, m);
}
