# The CUDA toolkit with cuBLAS and cuSOLVER, as the target paro_cuda_toolkit. The two libraries come from the toolkit or,
# where only the compiler is installed, from a folder PARO_CUDA_LIBRARIES with include/ and lib/ (the wheels nvidia-cublas and
# nvidia-cusolver unpack into such a folder, nvidia/cu13).
set(PARO_CUDA_ARCHITECTURES "80-real;89-real;90" CACHE STRING "GPU architectures to compile for")
set(PARO_CUDA_LIBRARIES "" CACHE PATH "Folder with cuBLAS's and cuSOLVER's include/ and lib/, when the toolkit has none")
set(CMAKE_CUDA_ARCHITECTURES ${PARO_CUDA_ARCHITECTURES})
enable_language(CUDA)
# Kernels need no more, and CMake 3.25 knows no later one for this compiler.
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
find_package(CUDAToolkit REQUIRED)

add_library(paro_cuda_toolkit INTERFACE)
target_link_libraries(paro_cuda_toolkit INTERFACE CUDA::cudart_static)
# SYSTEM: the toolkit's headers are not held to our warnings.
target_include_directories(paro_cuda_toolkit SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
foreach(library cublas cusolver)
  if(library STREQUAL "cublas")
    set(header cublas_v2.h)
  else()
    set(header cusolverDn.h)
  endif()
  find_path(PARO_${library}_INCLUDE ${header} HINTS ${PARO_CUDA_LIBRARIES}/include ${CUDAToolkit_INCLUDE_DIRS})
  # Wheels hold no plain .so names.
  find_library(PARO_${library} NAMES ${library} lib${library}.so.13 lib${library}.so.12
               HINTS ${PARO_CUDA_LIBRARIES}/lib ${CUDAToolkit_LIBRARY_DIR})
  if(NOT PARO_${library} OR NOT PARO_${library}_INCLUDE)
    message(FATAL_ERROR "PARO_CUDA: ${library} not found (${header}, lib${library}.so): install the toolkit's "
                        "development packages, or set PARO_CUDA_LIBRARIES to a folder with include/ and lib/")
  endif()
  target_include_directories(paro_cuda_toolkit SYSTEM INTERFACE ${PARO_${library}_INCLUDE})
  target_link_libraries(paro_cuda_toolkit INTERFACE ${PARO_${library}})
endforeach()
# Libraries from wheels need others that only the machine with the GPU has to have.
target_link_options(paro_cuda_toolkit INTERFACE -Wl,--allow-shlib-undefined)
# -fmad=false: as on the CPU, kernels ask for fused multiply-adds where they mean them.
set(PARO_CUDA_FLAGS -fmad=false)

# paro_cuda_module(NAME DEPENDS libs...): library paro_NAME of the folder's .cpp and .cu files (tests: tests/cuda).
function(paro_cuda_module name)
  cmake_parse_arguments(arg "" "" "DEPENDS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cpp *.cu)
  add_library(paro_${name} STATIC ${sources})
  target_compile_options(paro_${name} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:${PARO_CUDA_FLAGS}>)
  target_link_libraries(paro_${name} PUBLIC paro_cuda_toolkit ${arg_DEPENDS})
endfunction()
