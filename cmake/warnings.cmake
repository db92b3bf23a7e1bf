# xfc_target(NAME): warnings, include root and sanitizers of every target of the compiler.
function(xfc_target name)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/runtime/include)
  target_compile_options(${name} PRIVATE
    -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wundef -Wwrite-strings
    -Wswitch-enum -Wimplicit-fallthrough -Wdouble-promotion -Wvla -Wno-sign-conversion)
  if(XF_WERROR)
    target_compile_options(${name} PRIVATE -Werror)
  endif()
  if(XF_SANITIZE)
    target_compile_options(${name} PRIVATE -fsanitize=${XF_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(${name} PUBLIC -fsanitize=${XF_SANITIZE})
  endif()
  if(XF_FUZZ) # coverage of what is fuzzed, not of the entry point alone
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer-no-link)
    target_link_options(${name} PUBLIC -fsanitize=fuzzer-no-link)
  endif()
endfunction()
