# How a module is built: its folder's sources by name. A new file needs no line here:
#   *_test.cpp   go into the module's test program
#   *_bench.cpp  go into the module's benchmark program
#   cuda/        is a module of its own (cmake/cuda.cmake), built with PARO_CUDA; mpi/ with PARO_MPI
#   *avx2.cpp, *avxvnni.cpp, *avx512.cpp, *avx512vnni.cpp (x86-64), *neon.cpp, *neoni8mm.cpp (aarch64)  are compiled for
#                that instruction set (left out elsewhere)

add_library(paro_flags INTERFACE)
target_include_directories(paro_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
# -Wno-restrict: GCC 12 warns falsely on "literal" + std::string (GCC bug 105329).
# -ffp-contract=off: the scalar reference computes what it says on every processor; kernels ask for FMA by intrinsics.
target_compile_options(paro_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wno-missing-field-initializers
                            $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> -ffp-contract=off>)
if(PARO_WERROR)
  target_compile_options(paro_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
if(PARO_SANITIZE)
  target_compile_options(paro_flags INTERFACE -fsanitize=${PARO_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(paro_flags INTERFACE -fsanitize=${PARO_SANITIZE})
endif()

set(PARO_ISA_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(PARO_ISA_avxvnni ${PARO_ISA_avx2} -mavxvnni)
set(PARO_ISA_avx512 ${PARO_ISA_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl)
set(PARO_ISA_avx512vnni ${PARO_ISA_avx512} -mavx512vnni)
set(PARO_ISA_neon -march=armv8.2-a+dotprod)
set(PARO_ISA_neoni8mm -march=armv8.2-a+dotprod+i8mm)

# paro_module(NAME DEPENDS libs...): library paro_NAME of the folder (and its subfolders), tests paro_NAME_test.
function(paro_module name)
  cmake_parse_arguments(arg "" "" "DEPENDS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *.cpp)
  list(FILTER sources EXCLUDE REGEX "^${CMAKE_CURRENT_SOURCE_DIR}/(cuda|mpi)/")
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  set(benches ${sources})
  list(FILTER benches INCLUDE REGEX "_bench\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "(_test|_bench)\\.cpp$")
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(FILTER sources EXCLUDE REGEX "avx[0-9a-z]*\\.cpp$")
  endif()
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    list(FILTER sources EXCLUDE REGEX "neon[0-9a-z]*\\.cpp$")
  endif()
  foreach(source ${sources})
    if(source MATCHES "(avx2|avxvnni|avx512|avx512vnni|neon|neoni8mm)\\.cpp$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${PARO_ISA_${CMAKE_MATCH_1}}")
    endif()
  endforeach()
  if(sources)
    add_library(paro_${name} STATIC ${sources})
    target_link_libraries(paro_${name} PUBLIC paro_flags fmt::fmt Threads::Threads ${arg_DEPENDS})
  else()
    add_library(paro_${name} INTERFACE)
    target_link_libraries(paro_${name} INTERFACE paro_flags ${arg_DEPENDS})
  endif()
  if(PARO_TESTS AND tests)
    paro_test(paro_${name}_test ${tests})
    target_link_libraries(paro_${name}_test PRIVATE paro_${name})
  endif()
  if(PARO_BENCHES AND benches)
    add_executable(paro_${name}_bench ${benches})
    target_link_libraries(paro_${name}_bench PRIVATE paro_${name} benchmark::benchmark_main)
    target_compile_definitions(paro_${name}_bench PRIVATE PARO_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  endif()
endfunction()

# paro_test(NAME sources...): a GoogleTest program, registered with CTest as one test a suite case.
# Tests may read PARO_SOURCE_DIR (fixtures) and PARO_BINARY (the paro program).
function(paro_test name)
  include(GoogleTest)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE GTest::gtest_main GTest::gmock)
  target_compile_definitions(${name} PRIVATE PARO_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                             PARO_BINARY="${CMAKE_BINARY_DIR}/bin/paro")
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 120)
endfunction()
