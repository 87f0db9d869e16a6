# The NEON kernels: cross-compiled and run under user-mode emulation, where both tools are installed
# (gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user).
find_program(ARM_COMPILER aarch64-linux-gnu-gcc)
find_program(ARM_EMULATOR NAMES qemu-aarch64 qemu-aarch64-static)
if(ARM_COMPILER AND ARM_EMULATOR AND NOT SEGRT_SANITIZE AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(kernels ${PROJECT_SOURCE_DIR}/src/backend/cpu/kernels)
  file(GLOB headers CONFIGURE_DEPENDS ${kernels}/*.h)
  set(shared ${CMAKE_CURRENT_LIST_DIR}/../amx_support.c ${CMAKE_CURRENT_LIST_DIR}/../guard_support.c ${CMAKE_CURRENT_LIST_DIR}/../kernels_bench_support.c
      ${CMAKE_CURRENT_SOURCE_DIR}/model_support.c ${PROJECT_SOURCE_DIR}/src/base/cpu.c ${PROJECT_SOURCE_DIR}/src/base/error.c ${kernels}/tables.c
      ${kernels}/f32_portable.c ${kernels}/bf16_portable.c ${kernels}/f32_neon.c ${kernels}/bf16_neon.c)
  foreach(test test_kernels test_kernels_attend test_kernels_rows test_kernels_head)
    set(sources ${CMAKE_CURRENT_LIST_DIR}/../${test}.c ${shared})
    add_custom_command(OUTPUT ${test}_neon
      COMMAND ${ARM_COMPILER} -std=c17 -O3 -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror -D_GNU_SOURCE
              -ffp-contract=off -fno-math-errno -ffunction-sections -fdata-sections -Wl,--gc-sections -static -I${CMAKE_CURRENT_LIST_DIR}
              -I${CMAKE_CURRENT_SOURCE_DIR} -I${PROJECT_SOURCE_DIR}/src -I${PROJECT_SOURCE_DIR}/include ${sources} -lm -o ${test}_neon
      DEPENDS ${sources} ${headers} ${CMAKE_CURRENT_LIST_DIR}/cmocka.h ${CMAKE_CURRENT_LIST_DIR}/../kernels_support.h VERBATIM)
    add_custom_target(${test}_arm ALL DEPENDS ${test}_neon)
    add_test(NAME ${test}_neon COMMAND ${ARM_EMULATOR} ${CMAKE_CURRENT_BINARY_DIR}/${test}_neon)
  endforeach()
endif()
