# cmake -DBUILD= -DSOURCE= -DCC= -DWORK= -DLIBDIR= -P test_install.cmake
cmake_minimum_required(VERSION 3.25)

# must(COMMAND...): runs it, fails the test unless its exit code is 0; `out` is what it printed.
function(must)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE code OUTPUT_VARIABLE text ERROR_VARIABLE error
    WORKING_DIRECTORY ${WORK})
  if(NOT code EQUAL 0)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "${command}\nexit code ${code}\n${text}${error}")
  endif()
  set(out "${text}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
must(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/first)
file(RENAME ${WORK}/first ${WORK}/moved)
set(prefix ${WORK}/moved)
foreach(file bin/xfc bin/xf-run bin/xf-dump bin/xf-opt include/xf.h share/xfc/xf.py
    share/man/man1/xfc.1 share/man/man1/xf-run.1 share/bash-completion/completions/xf-opt
    share/zsh/site-functions/_xf-dump)
  if(NOT EXISTS ${prefix}/${file})
    message(FATAL_ERROR "${file} is not installed")
  endif()
endforeach()

# The CMake package: compiles a model and a program at build time.
file(MAKE_DIRECTORY ${WORK}/project)
file(WRITE ${WORK}/project/CMakeLists.txt "
cmake_minimum_required(VERSION 3.25)
project(stranger C)
find_package(xfc 0.1 REQUIRED)
add_executable(example \"${SOURCE}/docs/example.c\")
target_link_libraries(example PRIVATE xfc::xf)
xfc_add_model(encoder \"${SOURCE}/tests/models/bert/model.onnx\" OPTIONS -march=x86-64-v2)
get_target_property(so encoder XFC_MODEL)
file(WRITE \"\${CMAKE_BINARY_DIR}/so.txt\" \"\${so}\")
if(NOT EXISTS \"\${XFC_PYTHON_DIR}/xf.py\")
  message(FATAL_ERROR \"no xf.py in \${XFC_PYTHON_DIR}\")
endif()
")
must(${CMAKE_COMMAND} -G Ninja -S ${WORK}/project -B ${WORK}/out -DCMAKE_C_COMPILER=${CC} -DCMAKE_PREFIX_PATH=${prefix})
must(${CMAKE_COMMAND} --build ${WORK}/out)
file(READ ${WORK}/out/so.txt so)
must(${WORK}/out/example ${so} 2 3 4)
if(NOT out MATCHES "last_hidden_state: \\[1, 3, 48\\]")
  message(FATAL_ERROR "unexpected output of the example:\n${out}")
endif()

# pkg-config.
find_program(PKG_CONFIG pkg-config)
if(NOT PKG_CONFIG)
  message(STATUS "SKIP: pkg-config is not installed")
  return()
endif()
set(ENV{PKG_CONFIG_PATH} ${prefix}/${LIBDIR}/pkgconfig)
must(${PKG_CONFIG} --variable=xfc xfc)
separate_arguments(xfc UNIX_COMMAND "${out}")
must(${xfc} --version)
must(${PKG_CONFIG} --cflags --libs xfc)
separate_arguments(flags UNIX_COMMAND "${out}")
must(${CC} ${SOURCE}/docs/example.c -o ${WORK}/example ${flags})
must(${WORK}/example ${so} 2 3 4)
