// The tensor types of GGUF: their blocks in the file and how to turn them into f32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/dtype.h"

namespace paro {

struct GgufType {
  uint32_t id;
  const char* name;
  DType dtype;    // as read
  int64_t block;  // elements of a block; rows are whole blocks
  int64_t block_bytes;
  /// nullptr: the elements are stored plainly. `out` [blocks * block].
  void (*dequantize)(const std::byte* from, int64_t blocks, float* out);
};

/// nullptr when the type is not supported.
const GgufType* find_gguf_type(uint32_t id);
/// "IQ2_XXS", or "number 99": for error messages about types that are not supported.
std::string gguf_type_text(uint32_t id);

}  // namespace paro
