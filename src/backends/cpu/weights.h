// The CPU's embeddings and vectors (linears: quant/cpu_linear.h).
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/tensor.h"
#include "kernels/convert/convert.h"
#include "model/linear.h"
#include "quant/row_table/row_table.h"

namespace paro {

/// F32, F16 or BF16 rows, or those of a table of 8 or 4 bits; mapped where the file's bytes can be used as they are.
class CpuEmbedding : public Embedding {
 public:
  CpuEmbedding(TensorView table, std::shared_ptr<const void> owner);
  explicit CpuEmbedding(RowTable table);
  /// Row `id` as f32; id in [0, vocab).
  void copy_row(const ConvertKernels& kernels, int64_t id, float* out) const;
  int64_t row_bytes() const { return quantized_ ? quantized_->row_bytes() : dim * dtype_size(table_.dtype); }

 private:
  TensorView table_;
  std::shared_ptr<const void> owner_;
  std::optional<RowTable> quantized_;  // instead of table_
};

class CpuVector : public Vector {
 public:
  explicit CpuVector(const std::vector<float>& values);
  const float* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(float* data) const;
  };
  std::unique_ptr<float[], Free> data_;  // 64-byte aligned
};

}  // namespace paro
