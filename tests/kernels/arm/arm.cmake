# The NEON kernels: cross-compiled and run under user-mode emulation, where both tools are installed
# (gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user).
find_program(ARM_COMPILER aarch64-linux-gnu-gcc)
find_program(ARM_EMULATOR NAMES qemu-aarch64 qemu-aarch64-static)
if(ARM_COMPILER AND ARM_EMULATOR AND NOT SEGRT_SANITIZE AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(kernels ${PROJECT_SOURCE_DIR}/src/backend/cpu/kernels)
  set(tests ${CMAKE_CURRENT_LIST_DIR}/..)
  set(flags -std=c17 -O3 -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror -D_GNU_SOURCE -ffp-contract=off -fno-math-errno
      -ffunction-sections -fdata-sections -I${CMAKE_CURRENT_LIST_DIR} -I${CMAKE_CURRENT_SOURCE_DIR} -I${PROJECT_SOURCE_DIR}/src -I${PROJECT_SOURCE_DIR}/include)
  file(GLOB headers CONFIGURE_DEPENDS ${kernels}/*.h ${tests}/*.h ${CMAKE_CURRENT_LIST_DIR}/*.h)
  file(GLOB sources CONFIGURE_DEPENDS ${kernels}/*_neon*.c ${kernels}/*_portable.c ${tests}/*_support.c)
  list(APPEND sources ${kernels}/tables.c ${kernels}/int8.c ${CMAKE_CURRENT_SOURCE_DIR}/model_support.c ${PROJECT_SOURCE_DIR}/src/base/cpu.c
       ${PROJECT_SOURCE_DIR}/src/base/error.c)
  set(objects)
  foreach(source IN LISTS sources)
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^.*_" "" isa ${name})
    add_custom_command(OUTPUT arm_${name}.o COMMAND ${ARM_COMPILER} ${flags} ${SEGRT_ISA_${isa}} -c ${source} -o arm_${name}.o
                       DEPENDS ${source} ${headers} VERBATIM)
    list(APPEND objects arm_${name}.o)
  endforeach()
  foreach(test test_kernels test_kernels_attend test_kernels_rows test_kernels_head test_int8)
    add_custom_command(OUTPUT ${test}_neon COMMAND ${ARM_COMPILER} ${flags} -Wl,--gc-sections -static ${tests}/${test}.c ${objects} -lm -o ${test}_neon
                       DEPENDS ${tests}/${test}.c ${objects} VERBATIM)
    add_custom_target(${test}_arm ALL DEPENDS ${test}_neon)
    add_test(NAME ${test}_neon COMMAND ${ARM_EMULATOR} ${CMAKE_CURRENT_BINARY_DIR}/${test}_neon)
  endforeach()
endif()
