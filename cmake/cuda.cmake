# The CUDA backend as a library of its own, libsegrt-cuda.so, which libsegrt opens at run time.  Needs the CUDA toolkit 12.4
# or later (nvcc in PATH, CUDACXX, or /usr/local/cuda); without it the backend is left out and everything else is built.
find_program(SEGRT_NVCC nvcc HINTS $ENV{CUDACXX} /usr/local/cuda/bin)
if(SEGRT_NVCC)
  execute_process(COMMAND ${SEGRT_NVCC} --version OUTPUT_VARIABLE version ERROR_QUIET)
  string(REGEX REPLACE ".*release ([0-9]+\\.[0-9]+).*" "\\1" version "${version}")
endif()
if(NOT SEGRT_NVCC OR version VERSION_LESS 12.4)
  message(STATUS "CUDA backend: left out (no nvcc of CUDA 12.4 or later was found)")
  return()
endif()

# Binaries for what the toolkit knows, and PTX of 9.0 for devices to come.  9.0 itself has instructions of its own (90a).
set(architectures 80-real 86-real 89-real 90a-real 90-virtual)
if(version VERSION_GREATER_EQUAL 12.8)
  list(INSERT architectures 4 100-real 120-real)
endif()
set(SEGRT_CUDA_ARCHITECTURES "${architectures}" CACHE STRING "GPU architectures of the CUDA backend")
set(CMAKE_CUDA_COMPILER ${SEGRT_NVCC})
set(CMAKE_CUDA_ARCHITECTURES ${SEGRT_CUDA_ARCHITECTURES})
enable_language(CXX) # links: nvcc needs its compiler anyway
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
message(STATUS "CUDA backend: CUDA ${version}, ${SEGRT_CUDA_ARCHITECTURES}")

file(GLOB cuda_kernels CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/backend/cuda/*.cu)
file(GLOB cuda_hosts CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/backend/cuda/*.c)

add_library(segrt_cuda_kernels OBJECT ${cuda_kernels})
set_target_properties(segrt_cuda_kernels PROPERTIES CUDA_STANDARD 17 CUDA_VISIBILITY_PRESET hidden CUDA_RUNTIME_LIBRARY Static)
target_include_directories(segrt_cuda_kernels PRIVATE ${PROJECT_SOURCE_DIR}/include ${CMAKE_CURRENT_SOURCE_DIR})

# What the host side uses of the lower layers is linked in a second time: nothing is shared but the table of functions.
add_library(segrt_cuda MODULE ${cuda_hosts} base/error.c base/memory.c network/shape.c network/operations.c $<TARGET_OBJECTS:segrt_cuda_kernels>)
set_target_properties(segrt_cuda PROPERTIES OUTPUT_NAME segrt-cuda PREFIX lib LINKER_LANGUAGE CXX CUDA_RUNTIME_LIBRARY Static)
target_include_directories(segrt_cuda PRIVATE ${PROJECT_SOURCE_DIR}/include ${CMAKE_CURRENT_SOURCE_DIR})
target_include_directories(segrt_cuda SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
target_link_libraries(segrt_cuda PRIVATE segrt_flags CUDA::cudart_static)
target_link_options(segrt_cuda PRIVATE LINKER:--exclude-libs,ALL)
# Where the program of the build tree finds it, too.
set(beside ${PROJECT_BINARY_DIR}/tools/segrt)
add_custom_command(TARGET segrt_cuda POST_BUILD COMMAND ${CMAKE_COMMAND} -E make_directory ${beside}
  COMMAND ${CMAKE_COMMAND} -E create_symlink $<TARGET_FILE:segrt_cuda> ${beside}/$<TARGET_FILE_NAME:segrt_cuda> VERBATIM)
install(TARGETS segrt_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
