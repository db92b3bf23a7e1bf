/* file.c - maps files read-only and finds sections of ELF files, trusting neither.
 *
 * The weights section is not loaded by the dynamic linker (it may be larger than a code model likes, and is shared
 * through the page cache anyway), so the runtime opens the file it came from and looks the section up by name.
 * Everything in the table is checked against the size of the file. Functions of glibc newer than 2.28 are avoided
 * (fstat is one: its symbol is of 2.33).
 */
#define _GNU_SOURCE
#include "runtime/plan.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int map_fd(int fd, xf_file *out) {
    off_t size = lseek(fd, 0, SEEK_END);
    if (size < 0) return errno;
    if (size == 0) return 0;
    char byte;
    if (read(fd, &byte, 0) < 0) return errno; /* a directory, whose size says nothing */
    void *data = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) return errno;
    *out = (xf_file){data, (size_t)size};
    return 0;
}

int xf_file_map(const char *path, xf_file *out) {
    *out = (xf_file){0};
    int fd;
    do fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) return errno;
    int error = map_fd(fd, out);
    close(fd);
    return error;
}

void xf_file_unmap(xf_file *f) {
    if (f->data) munmap((void *)(uintptr_t)f->data, f->size);
    *f = (xf_file){0};
}

bool xf_elf_is(const void *elf, size_t n) {
    const unsigned char *e = elf;
    return n >= sizeof(Elf64_Ehdr) && memcmp(e, ELFMAG, SELFMAG) == 0 && e[EI_CLASS] == ELFCLASS64 &&
           e[EI_DATA] == ELFDATA2LSB;
}

/* Header i of the section table; copied, since nothing says that the table is aligned. */
static bool section_at(const unsigned char *elf, size_t n, const Elf64_Ehdr *eh, uint64_t i, Elf64_Shdr *out) {
    uint64_t at;
    if (__builtin_mul_overflow(i, (uint64_t)eh->e_shentsize, &at) || __builtin_add_overflow(at, eh->e_shoff, &at))
        return false;
    if (at > n || n - at < sizeof *out) return false;
    memcpy(out, elf + at, sizeof *out);
    return true;
}

/* Bytes of the section lie in the file, as they are (not compressed, not zero-fill). */
static bool section_data(const Elf64_Shdr *s, size_t n) {
    return s->sh_type != SHT_NOBITS && !(s->sh_flags & SHF_COMPRESSED) && s->sh_offset <= n &&
           s->sh_size <= n - s->sh_offset;
}

bool xf_elf_section(const void *elf, size_t n, const char *name, size_t *offset, size_t *bytes) {
    if (!xf_elf_is(elf, n)) return false;
    Elf64_Ehdr eh;
    Elf64_Shdr first, names, s;
    memcpy(&eh, elf, sizeof eh);
    if (eh.e_shoff == 0 || eh.e_shentsize < sizeof s || !section_at(elf, n, &eh, 0, &first)) return false;
    uint64_t count = eh.e_shnum ? eh.e_shnum : first.sh_size; /* the ELF way to say "more than 65279" */
    uint64_t strndx = eh.e_shstrndx == SHN_XINDEX ? first.sh_link : eh.e_shstrndx;
    if (!section_at(elf, n, &eh, strndx, &names) || !section_data(&names, n)) return false;
    const char *text = (const char *)elf + names.sh_offset;
    size_t length = strlen(name) + 1;
    for (uint64_t i = 1; i < count && section_at(elf, n, &eh, i, &s); i++) {
        if (s.sh_name > names.sh_size || names.sh_size - s.sh_name < length ||
            memcmp(text + s.sh_name, name, length) != 0)
            continue;
        if (!section_data(&s, n)) return false;
        *offset = (size_t)s.sh_offset;
        *bytes = (size_t)s.sh_size;
        return true;
    }
    return false;
}
