/* cpuid.c - the choice of one of a model's code variants.
 *
 * A variant's level is a micro-architecture level of the x86-64 psABI (cpu_level.c). Variants stand worst first, so the
 * last that runs is best.
 */
#include "runtime/runtime.h"
#include <string.h>

static void list_variants(const xf_variant *v, xf_text *t) {
    for (; v->name; v++) xf_text_printf(t, "%s%s", t->n ? ", " : "", v->name);
}

xf_status xf_variant_pick(const xf_variant *variants, const char *name, const xf_variant **out, xf_error *error) {
    uint64_t level = xf_cpu_level();
    char list[256] = "";
    list_variants(variants, &(xf_text){list, sizeof list, 0});
    const xf_variant *best = NULL, *named = NULL;
    for (const xf_variant *v = variants; v->name; v++) {
        if (name && strcmp(v->name, name) == 0) named = v;
        if (v->level <= level) best = v;
    }
    if (name && !named) return xf_fail(error, XF_E_CPU, "no code variant '%s'; the model has %s", name, list);
    if (named && named->level > level)
        return xf_fail(error, XF_E_CPU, "this CPU cannot run the code variant '%s'", name);
    if (!named && !best)
        return xf_fail(error, XF_E_CPU, "this CPU is older than every code variant of the model: %s", list);
    *out = named ? named : best;
    return XF_OK;
}
