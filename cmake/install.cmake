# What `cmake --install` adds to the tools: the header of compiled models, a pkg-config file, a CMake package.
include(CMakePackageConfigHelpers)
install(FILES ${PROJECT_SOURCE_DIR}/runtime/include/xf.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Relocatable: everything is found from where the file lies. What is installed by absolute path stays so.
file(RELATIVE_PATH XF_PC_TO_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
foreach(dir BINDIR INCLUDEDIR DATADIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${dir}}")
    set(XF_PC_${dir} "${CMAKE_INSTALL_${dir}}")
  else()
    set(XF_PC_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
  endif()
endforeach()
configure_file(${CMAKE_CURRENT_LIST_DIR}/xfc.pc.in ${PROJECT_BINARY_DIR}/xfc.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/xfc.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/xfc)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/xfcConfig.cmake.in ${PROJECT_BINARY_DIR}/xfcConfig.cmake
  INSTALL_DESTINATION ${package} PATH_VARS CMAKE_INSTALL_BINDIR CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_DATADIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/xfcConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/xfcConfig.cmake ${PROJECT_BINARY_DIR}/xfcConfigVersion.cmake DESTINATION ${package})
