// A tensor that somebody else's memory holds: type, shape, bytes. Row-major, dense.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace paro {

/// "[576, 64]"
std::string shape_text(const std::vector<int64_t>& shape);

/// A read-only view; `data` is aligned to dtype_size(dtype) or is to be read with memcpy (files promise nothing).
struct TensorView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  const std::byte* data = nullptr;

  int64_t elements() const;
  int64_t bytes() const { return elements() * dtype_size(dtype); }
};

/// Elements [begin, begin + count) of a float tensor (F64, F32, F16, BF16) converted to f32.
/// Throws Error{kDefect} for integer types.
void copy_as_f32(const TensorView& tensor, int64_t begin, int64_t count, float* out);

}  // namespace paro
