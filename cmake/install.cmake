# What `cmake --install` puts where: the header, both libraries, the program, pkg-config and CMake package files.
include(CMakePackageConfigHelpers)

# The static library as others link it: one object in which every name but the public ones is local, so that our
# internal names cannot collide with the user's.
set(localized ${PROJECT_BINARY_DIR}/libsegrt.a)
add_custom_command(
  OUTPUT ${localized}
  COMMAND ${CMAKE_LINKER} -r -o ${PROJECT_BINARY_DIR}/segrt.o $<TARGET_OBJECTS:segrt_objects>
  COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${PROJECT_BINARY_DIR}/segrt.o
  COMMAND ${CMAKE_COMMAND} -E rm -f ${localized}
  COMMAND ${CMAKE_AR} qcs ${localized} ${PROJECT_BINARY_DIR}/segrt.o
  DEPENDS segrt_objects $<TARGET_OBJECTS:segrt_objects>
  COMMAND_EXPAND_LISTS VERBATIM)
add_custom_target(segrt_localized ALL DEPENDS ${localized})

install(FILES include/segrt/segrt.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/segrt)
install(FILES ${localized} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS segrt_shared EXPORT segrtTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET segrt_program)
  install(TARGETS segrt_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

set(packages ${CMAKE_INSTALL_LIBDIR}/cmake/segrt)
install(EXPORT segrtTargets NAMESPACE segrt:: DESTINATION ${packages})
configure_package_config_file(cmake/segrtConfig.cmake.in ${PROJECT_BINARY_DIR}/segrtConfig.cmake INSTALL_DESTINATION ${packages}
  PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/segrtConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/segrtConfig.cmake ${PROJECT_BINARY_DIR}/segrtConfigVersion.cmake DESTINATION ${packages})

# The prefix may be given to `cmake --install` only, so the .pc file finds it from its own place.
string(REGEX REPLACE "[^/]+" ".." up ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
set(SEGRT_PC_PREFIX "\${pcfiledir}/${up}")
configure_file(cmake/segrt.pc.in ${PROJECT_BINARY_DIR}/segrt.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/segrt.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
