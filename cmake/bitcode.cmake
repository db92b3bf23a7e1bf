# xfc_bitcode(TARGET SYMBOL SOURCE HEADER...): C compiled by clang to LLVM bitcode and embedded in a static library as
#   const unsigned char SYMBOL[]; const size_t SYMBOL_size;
#
# The bitcode is optimised (-O2: every function straight-line) but holds no decision for a machine: baseline target,
# nothing vectorised, no contraction; the emitter copies the functions lane by lane into code for each ISA. No fast-math
# of any kind. -fno-trapping-math lets both arms of ?: be computed; nobody reads the exception flags.
# SOURCE is named relative to its folder, so that the bitcode holds no path of the build machine.
# TARGET gets the property XFC_BITCODE: the bitcode's file, for tests.
set(XFC_BITCODE_DIR ${CMAKE_CURRENT_LIST_DIR})
set(XFC_BITCODE_FLAGS -O2 -std=c17 -ffreestanding -nostdinc -ffp-contract=off -fno-math-errno -fno-trapping-math
  -fno-vectorize -fno-slp-vectorize -fno-unroll-loops -fno-stack-protector -g0 -Wall -Wextra -Wpedantic -Wshadow
  -Wconversion -Wno-sign-conversion)

function(xfc_bitcode target symbol source)
  set(bitcode ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.bc)
  set(array ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c)
  add_custom_command(
    OUTPUT ${bitcode}
    COMMAND ${XFC_CLANG} --target=x86_64-unknown-linux-gnu ${XFC_BITCODE_FLAGS} -I${PROJECT_SOURCE_DIR} -emit-llvm -c
            ${source} -o ${bitcode}
    DEPENDS ${source} ${ARGN}
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}
    COMMENT "Compiling ${source} to bitcode"
    VERBATIM)
  add_custom_command(
    OUTPUT ${array}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${bitcode} -DOUTPUT=${array} -DSYMBOL=${symbol} -P ${XFC_BITCODE_DIR}/embed.cmake
    DEPENDS ${bitcode} ${XFC_BITCODE_DIR}/embed.cmake
    COMMENT "Embedding ${symbol}"
    VERBATIM)
  add_library(${target} STATIC ${array})
  xfc_target(${target})
  set_target_properties(${target} PROPERTIES XFC_BITCODE ${bitcode})
endfunction()
