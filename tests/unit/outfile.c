/* Tests of ir/base/outfile: several files take their places together, or what was there stays. */
#include "ir/base/outfile.h"

#include "tests/unit/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { N = 3 };
static const char *const name[N] = {"a", "b", "c"};

static void put(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    if (CHECK(f != NULL)) fputs(text, f), fclose(f);
}

static const char *content(const char *path) {
    static char text[64];
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = 0;
    if (f) fclose(f);
    return f ? text : "none";
}

static int entries(void) {
    DIR *d = opendir(".");
    int n = 0;
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n - 2;
}

/* Of three files written anew, of which the first was there before; blocked: the last cannot take its place. */
static const xfc_outfile *place(xfc_arena *a, bool blocked) {
    static xfc_outfile file[N];
    xfc_outfile *all[N];
    put(name[0], "before");
    for (int i = 0; i < N; i++) {
        all[i] = &file[i];
        CHECK(xfc_outfile_open(&file[i], a, NULL, name[i], 0666));
        CHECK_INT(write(file[i].fd, "after", 5), 5);
        CHECK(xfc_outfile_done(&file[i]));
    }
    if (blocked) CHECK_INT(mkdir(name[N - 1], 0777), 0);
    return xfc_outfiles_place(a, all, N);
}

int main(void) {
    xfc_arena *a = xfc_arena_new();
    char dir[] = "/tmp/xfc-test-XXXXXX";
    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    const xfc_outfile *failed = place(a, true);
    if (CHECK(failed != NULL)) CHECK_STR(failed->path, "c");
    CHECK_STR(content("a"), "before");
    CHECK_STR(content("b"), "none");
    CHECK_INT(entries(), 2);
    CHECK_INT(rmdir("c"), 0);
    CHECK(place(a, false) == NULL);
    for (int i = 0; i < N; i++) CHECK_STR(content(name[i]), "after"), unlink(name[i]);
    CHECK_INT(entries(), 0);
    CHECK(chdir("/") == 0 && rmdir(dir) == 0);
    xfc_arena_free(a);
    return test_end();
}
