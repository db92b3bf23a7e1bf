/* disasm.c - x86-64 machine code as text, for xf-dump. Hostile bytes are shown as data. */
#include "backends/artefact.h"
#include "backends/llvm/llvm.h"
#include <string.h>

typedef struct {
    xfc_name_of *name_of;
    void *user;
    char text[128];
} names;

/* LLVM asks how to write the target of a branch or call. */
static const char *lookup(void *user, uint64_t value, uint64_t *type, uint64_t pc, const char **name) {
    names *n = user;
    (void)pc;
    bool branch = *type == LLVMDisassembler_ReferenceType_In_Branch;
    *type = LLVMDisassembler_ReferenceType_InOut_None;
    *name = NULL;
    return branch && n->name_of(n->user, value, n->text, sizeof n->text) ? n->text : NULL;
}

xfc_status xfc_disassemble(xfc_ctx *ctx, const uint8_t *code, size_t n, uint64_t address, xfc_name_of *name_of,
                           void *user, xfc_buf *out) {
    names who = {.name_of = name_of, .user = user};
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86Disassembler();
    LLVMDisasmContextRef d = LLVMCreateDisasm("x86_64-unknown-linux-gnu", &who, 0, NULL, lookup);
    if (!d)
        return xfc_fail(ctx, XFC_ERR_TOOL, (xfc_loc){0},
                        "LLVM has no disassembler for x86-64; install an LLVM built with it");
    LLVMSetDisasmOptions(d, LLVMDisassembler_Option_PrintImmHex);
    for (size_t at = 0; at < n;) {
        char text[256];
        size_t step =
            LLVMDisasmInstruction(d, (uint8_t *)(uintptr_t)(code + at), n - at, address + at, text, sizeof text);
        if (step == 0)
            xfc_buf_printf(out, "%6zx:\t.byte 0x%02x\n", at, code[at]);
        else
            xfc_buf_printf(out, "%6zx:%s\n", at, text);
        at += step ? step : 1;
    }
    LLVMDisasmDispose(d);
    return XFC_OK;
}
