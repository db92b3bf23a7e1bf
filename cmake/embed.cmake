# cmake -DINPUT=file -DOUTPUT=file.c -DSYMBOL=name -P embed.cmake: the bytes of a file as a C array, 32 a line, 16-byte
# aligned.
cmake_minimum_required(VERSION 3.25)
file(READ ${INPUT} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REPEAT "....." 32 line)
string(REGEX REPLACE "(${line})" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "/* Made by cmake/embed.cmake. */
#include <stddef.h>
extern const unsigned char ${SYMBOL}[];
extern const size_t ${SYMBOL}_size;
_Alignas(16) const unsigned char ${SYMBOL}[] = {
${bytes}
};
const size_t ${SYMBOL}_size = ${size};
")
