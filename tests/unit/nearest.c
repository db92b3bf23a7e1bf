/* Tests of ir/base/nearest: what a mistyped name stands for, and what is too far. */
#include "ir/base/nearest.h"

#include "tests/unit/test.h"

static const char *names[] = {"dim",       "disable-pass",   "tap", "target", "threads",
                              "input_ids", "attention_mask", "v",   "O"};

static const char *meant(const char *wanted) {
    xfc_nearest x = {.wanted = wanted, .n = strlen(wanted)};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) xfc_nearest_offer(&x, names[i]);
    return x.best ? x.best : "nothing";
}

static void near(void) {
    CHECK_STR(meant("tap"), "tap");
    CHECK_STR(meant("tpa"), "tap");                   /* a swap is one edit */
    CHECK_STR(meant("dims"), "dim");                  /* one more */
    CHECK_STR(meant("dm"), "dim");                    /* one fewer, of two */
    CHECK_STR(meant("disable_pass"), "disable-pass"); /* spelling that is no difference */
    CHECK_STR(meant("Input_IDs"), "input_ids");
    CHECK_STR(meant("tarket"), "target");
    CHECK_STR(meant("attention"), "attention_mask"); /* a beginning */
    CHECK_STR(meant("inputs-id"), "input_ids");
}

static void far(void) {
    CHECK_STR(meant(""), "nothing");
    CHECK_STR(meant("x"), "nothing"); /* one letter for another is no mistake of typing */
    CHECK_STR(meant("nonsense"), "nothing");
    CHECK_STR(meant("at"), "nothing"); /* beginnings of two letters say nothing */
    char longest[70000];
    memset(longest, 'd', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    CHECK_STR(meant(longest), "nothing");
    xfc_nearest x = {.wanted = "dddd", .n = 4};
    xfc_nearest_offer(&x, longest);
    CHECK(x.best == longest);
    xfc_nearest_offer(&x, "ddd"); /* near is better than cut off */
    CHECK_STR(x.best, "ddd");
}

static void text(void) {
    xfc_arena *a = xfc_arena_new();
    xfc_nearest x = {.wanted = "tpa", .n = 3};
    CHECK_STR(xfc_did_you_mean(a, &x, "--"), "");
    xfc_nearest_offer(&x, "tap");
    CHECK_STR(xfc_did_you_mean(a, &x, "--"), "; did you mean '--tap'?");
    x.wanted = "a\n";
    x.n = 2;
    x.best = NULL;
    xfc_nearest_offer(&x, "a\nb"); /* one more than typed, of a hostile file: one line all the same */
    CHECK_STR(xfc_did_you_mean(a, &x, ""), "; did you mean 'a\\nb'?");
    xfc_arena_free(a);
}

int main(void) {
    near();
    far();
    text();
    return test_end();
}
