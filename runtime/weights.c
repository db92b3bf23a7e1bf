/* weights.c - finds the weights that belong to this code and maps them.
 *
 * They are a section of the .so that the dynamic linker does not load, a file of their own, or the caller's memory: the
 * same bytes in each case, xf_weights_header and then the data. The header's build id must be the plan's, which catches
 * a file replaced since it was loaded. The pages are mapped read-only, so processes share them and only what is touched
 * costs memory. Files are not trusted: truncated, foreign and shifted ones (strip and objcopy move sections) are
 * refused or, if only misaligned, copied.
 *
 * The path of the own .so: the dynamic linker's record, which is relative if dlopen's argument was and the process may
 * have changed its directory since; then /proc/self/maps.
 */
#define _GNU_SOURCE
#include "runtime/runtime.h"
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4352 };

/* --- the path of the file that this code was loaded from --- */

typedef struct {
    uintptr_t address;
    char *path;
} search;

static int match_object(struct dl_phdr_info *info, size_t size, void *user) {
    (void)size;
    search *s = user;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        if (ph->p_type != PT_LOAD || s->address - (info->dlpi_addr + ph->p_vaddr) >= ph->p_memsz) continue;
        /* The main program has no name. */
        snprintf(s->path, PATH_BYTES, "%s", info->dlpi_name && *info->dlpi_name ? info->dlpi_name : "/proc/self/exe");
        return 1;
    }
    return 0;
}

/* dladdr would do, but its symbol is of glibc 2.34. */
static bool linker_path(char path[static PATH_BYTES]) {
    search s = {(uintptr_t)xf_plans, path};
    path[0] = '\0';
    return dl_iterate_phdr(match_object, &s) == 1;
}

static uintptr_t hex(const char **s) {
    static const char digits[] = "0123456789abcdef";
    uintptr_t n = 0;
    for (const char *d; **s && (d = strchr(digits, **s)); (*s)++) n = n << 4 | (uintptr_t)(d - digits);
    return n;
}

/* "START-END perms offset dev inode   PATH" */
static bool maps_line(const char *line, uintptr_t address, char path[static PATH_BYTES]) {
    const char *s = line;
    uintptr_t start = hex(&s);
    if (*s++ != '-' || address < start || address >= hex(&s)) return false;
    const char *slash = strchr(line, '/');
    if (!slash) return false;
    snprintf(path, PATH_BYTES, "%.*s", (int)strcspn(slash, "\n"), slash);
    return true;
}

static bool maps_path(char path[static PATH_BYTES]) {
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps) return false;
    char line[PATH_BYTES + 128];
    bool found = false;
    while (!found && fgets(line, sizeof line, maps)) found = maps_line(line, (uintptr_t)xf_plans, path);
    fclose(maps);
    return found;
}

/* --- the bytes --- */

void *xf_weights_room(uint64_t bytes, xf_error *error) {
    void *room = NULL;
    if (bytes <= SIZE_MAX - XF_ALIGN) room = aligned_alloc(XF_ALIGN, (bytes + XF_ALIGN - 1) / XF_ALIGN * XF_ALIGN);
    if (!room) xf_fail(error, XF_E_NOMEM, "out of memory for the weights (%llu bytes)", (unsigned long long)bytes);
    return room;
}

static xf_status copy(xf_model *m, uint64_t bytes, xf_error *error) {
    m->copy = xf_weights_room(bytes, error);
    if (!m->copy) return XF_E_NOMEM;
    m->weights = memcpy(m->copy, m->weights, (size_t)bytes);
    return XF_OK;
}

/* data, n: the header and what follows it. Sets m->weights, copying if the data is not aligned. */
static xf_status use(xf_model *m, const unsigned char *data, size_t n, const char *from, xf_error *error) {
    xf_weights_header h = {0};
    size_t start, end, base = m->file.data ? (size_t)(data - m->file.data) : 0;
    const char *why = xf_weights_look(xf_model_plan(m)->head, data, n, &h);
    bool version = why && h.magic == XF_WEIGHTS_MAGIC && h.abi != XF_CODE_ABI;
    if (why) return xf_fail(error, version ? XF_E_ABI : XF_E_IO, "%s: %s", from, why);
    if (m->verify && xf_weights_damage(data, &h, &start, &end))
        return xf_fail(error, XF_E_IO,
                       "%s: the file is damaged: the weights in bytes %zu to %zu are not what xfc wrote", from,
                       base + start, base + end);
    m->weights = data + h.data_offset;
    m->stored = h.bytes - h.sources;
    if ((uintptr_t)m->weights % XF_ALIGN != 0) XF_TRY(copy(m, h.bytes, error));
    return h.n_made ? xf_made_open(m, data, &h, from, error) : XF_OK;
}

static xf_status cannot_read(const char *path, int number, xf_error *error) {
    char buf[128];
    return xf_fail(error, XF_E_IO, "%s: %s", path, strerror_r(number, buf, sizeof buf)); /* GNU's: answers the text */
}

/* A weights file, or an ELF file that holds the section. missing: set if it is an ELF file without it. */
static xf_status use_file(xf_model *m, const char *path, bool *missing, xf_error *error) {
    int number = xf_file_map(path, &m->file);
    if (number) return cannot_read(path, number, error);
    size_t offset = 0, bytes = m->file.size;
    if (xf_elf_is(m->file.data, m->file.size) &&
        !xf_elf_section(m->file.data, m->file.size, XF_SECTION_WEIGHTS, &offset, &bytes)) {
        *missing = true;
        return xf_fail(error, XF_E_IO, "%s: the section %s is missing or damaged", path, XF_SECTION_WEIGHTS);
    }
    return use(m, m->file.data + offset, bytes, path, error);
}

static xf_status use_own(xf_model *m, const char *path, xf_error *error) {
    bool missing = false;
    xf_status status = use_file(m, path, &missing, error);
    if (!missing) return status;
    char beside[PATH_BYTES + 16];
    snprintf(beside, sizeof beside, "%s.weights", path);
    xf_weights_close(m);
    status = use_file(m, beside, &missing, error);
    if (status == XF_OK) return XF_OK;
    xf_weights_close(m);
    return xf_fail(error, XF_E_IO, "%s: it has no section %s, and there are no weights in %s", path, XF_SECTION_WEIGHTS,
                   beside);
}

xf_status xf_weights_open(xf_model *m, const xf_open_opts *o, xf_error *error) {
    if (xf_model_plan(m)->head->weight_bytes == 0) return XF_OK;
    m->verify = (o->flags & XF_OPEN_VERIFY) != 0;
    if (o->weights) return use(m, o->weights, o->weights_size, "xf_open_opts.weights", error);
    bool missing = false;
    if (o->weights_path) return use_file(m, o->weights_path, &missing, error);
    char path[PATH_BYTES];
    if (linker_path(path) && use_own(m, path, error) == XF_OK) return XF_OK;
    xf_weights_close(m);
    if (!maps_path(path))
        return xf_fail(error, XF_E_IO, "the file of the model cannot be found; give xf_open_opts.weights_path");
    return use_own(m, path, error);
}

xf_status xf_weights_place(xf_model *m, xf_error *error) {
    size_t bytes = (size_t)xf_model_plan(m)->head->weight_bytes;
    m->placed = (const char *)m->weights;
    m->placed_made = m->made ? m->made : m->placed + m->stored;
    if (!m->weights || m->device->is_host) return XF_OK;
    char *to = m->device->alloc(bytes);
    m->placed = to;
    if (!to) return xf_fail(error, XF_E_NOMEM, "out of memory for the weights (%zu bytes)", bytes);
    m->placed_made = to + m->stored;
    m->device->copy(to, m->weights, (size_t)m->stored);
    if (m->made) m->device->copy(to + m->stored, m->made, bytes - (size_t)m->stored);
    return XF_OK;
}

void xf_weights_close(xf_model *m) {
    if (m->placed && !m->device->is_host)
        m->device->release((void *)(uintptr_t)m->placed, (size_t)xf_model_plan(m)->head->weight_bytes);
    m->placed = m->placed_made = NULL;
    free(m->made);
    free(m->copy);
    xf_file_unmap(&m->file);
    m->made = m->copy = NULL;
    m->weights = NULL;
    m->stored = 0;
}
