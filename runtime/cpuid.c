/* cpuid.c - the choice of one of a model's code variants.
 *
 * A variant asks for a micro-architecture level of the x86-64 psABI, and for features beside it (cpu_level.c). Variants
 * stand worst first, so the last that runs is best.
 */
#include "runtime/runtime.h"
#include <string.h>

static void list_variants(const xf_variant *v, xf_text *t) {
    for (; v->name; v++) xf_text_printf(t, "%s%s", t->n ? ", " : "", v->name);
}

static bool runs_here(const xf_variant *v) {
    return v->level <= xf_cpu_level() && (v->features & ~xf_cpu_features()) == 0;
}

xf_status xf_variant_pick(const xf_variant *variants, const char *name, const xf_variant **out, xf_error *error) {
    char list[256] = "";
    list_variants(variants, &(xf_text){list, sizeof list, 0});
    const xf_variant *best = NULL, *named = NULL;
    for (const xf_variant *v = variants; v->name; v++) {
        if (name && strcmp(v->name, name) == 0) named = v;
        if (runs_here(v)) best = v;
    }
    if (name && !named) return xf_fail(error, XF_E_CPU, "no code variant '%s'; the model has %s", name, list);
    if (named && !runs_here(named)) return xf_fail(error, XF_E_CPU, "this CPU cannot run the code variant '%s'", name);
    if (!named && !best)
        return xf_fail(error, XF_E_CPU, "this CPU is older than every code variant of the model: %s", list);
    *out = named ? named : best;
    return XF_OK;
}
