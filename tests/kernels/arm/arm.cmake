# The NEON kernels: cross-compiled and run under user-mode emulation, where both tools are installed
# (gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user).
find_program(ARM_COMPILER aarch64-linux-gnu-gcc)
find_program(ARM_EMULATOR NAMES qemu-aarch64 qemu-aarch64-static)
if(ARM_COMPILER AND ARM_EMULATOR AND NOT SEGRT_SANITIZE AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(kernels ${PROJECT_SOURCE_DIR}/src/backend/cpu/kernels)
  file(GLOB headers CONFIGURE_DEPENDS ${kernels}/*.h)
  set(sources ${CMAKE_CURRENT_LIST_DIR}/../test_kernels.c ${CMAKE_CURRENT_LIST_DIR}/../amx_support.c ${CMAKE_CURRENT_LIST_DIR}/../amx_parts_support.c ${CMAKE_CURRENT_LIST_DIR}/../guard_support.c
      ${CMAKE_CURRENT_SOURCE_DIR}/model_support.c ${PROJECT_SOURCE_DIR}/src/base/cpu.c ${PROJECT_SOURCE_DIR}/src/base/error.c ${kernels}/tables.c
      ${kernels}/f32_portable.c ${kernels}/bf16_portable.c ${kernels}/f32_neon.c ${kernels}/bf16_neon.c)
  add_custom_command(OUTPUT test_kernels_neon
    COMMAND ${ARM_COMPILER} -std=c17 -O3 -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror -D_GNU_SOURCE
            -ffp-contract=off -fno-math-errno -ffunction-sections -fdata-sections -Wl,--gc-sections -static -I${CMAKE_CURRENT_LIST_DIR}
            -I${CMAKE_CURRENT_SOURCE_DIR} -I${PROJECT_SOURCE_DIR}/src -I${PROJECT_SOURCE_DIR}/include ${sources} -lm -o test_kernels_neon
    DEPENDS ${sources} ${headers} ${CMAKE_CURRENT_LIST_DIR}/cmocka.h VERBATIM)
  set(integer_sources ${CMAKE_CURRENT_LIST_DIR}/../test_int8.c ${CMAKE_CURRENT_LIST_DIR}/../int8_amx_support.c ${kernels}/int8.c
      ${kernels}/int8_neon.c ${kernels}/int8_portable.c ${sources})
  list(REMOVE_ITEM integer_sources ${CMAKE_CURRENT_LIST_DIR}/../test_kernels.c)
  add_custom_command(OUTPUT test_int8_neon
    COMMAND ${ARM_COMPILER} -std=c17 -O3 -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror -D_GNU_SOURCE
            -ffp-contract=off -fno-math-errno -ffunction-sections -fdata-sections -Wl,--gc-sections -static -I${CMAKE_CURRENT_LIST_DIR}
            -I${CMAKE_CURRENT_SOURCE_DIR} -I${PROJECT_SOURCE_DIR}/src -I${PROJECT_SOURCE_DIR}/include ${integer_sources} -lm -o test_int8_neon
    DEPENDS ${integer_sources} ${headers} ${CMAKE_CURRENT_LIST_DIR}/cmocka.h VERBATIM)
  add_custom_target(kernels_neon ALL DEPENDS test_kernels_neon test_int8_neon)
  add_test(NAME test_int8_neon COMMAND ${ARM_EMULATOR} ${CMAKE_CURRENT_BINARY_DIR}/test_int8_neon)
  add_test(NAME test_kernels_neon COMMAND ${ARM_EMULATOR} ${CMAKE_CURRENT_BINARY_DIR}/test_kernels_neon)
endif()
