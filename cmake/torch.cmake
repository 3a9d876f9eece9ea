# LibTorch, as the target paro_torch: Debian's libtorch-dev (1.13), or any 2.x whose folder CMAKE_PREFIX_PATH names (that
# of a Python wheel: python -c "import torch; print(torch.utils.cmake_prefix_path)").
find_package(Torch QUIET)
if(NOT Torch_FOUND)
  message(FATAL_ERROR "PARO_TORCH: LibTorch not found: install libtorch-dev, or set CMAKE_PREFIX_PATH to the folder that "
                      "`python -c \"import torch; print(torch.utils.cmake_prefix_path)\"` prints")
endif()
add_library(paro_torch INTERFACE)
# SYSTEM: its headers are not held to our warnings.
target_include_directories(paro_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
target_link_libraries(paro_torch INTERFACE ${TORCH_LIBRARIES})
# LibTorch's folder brings headers of an fmt of its own, without its library: ours must be found first.
find_path(PARO_FMT_INCLUDE fmt/core.h REQUIRED)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/fmt)
file(CREATE_LINK ${PARO_FMT_INCLUDE}/fmt ${CMAKE_BINARY_DIR}/fmt/fmt SYMBOLIC)
# Not SYSTEM: such folders stand behind all others on the command line.
target_include_directories(paro_torch INTERFACE ${CMAKE_BINARY_DIR}/fmt)
