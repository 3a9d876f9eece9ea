// cos and sin of the positions of a batch, on the device, kept for as long as batches are alike.
#pragma once

#include <vector>

#include "backends/cuda/context.h"
#include "model/ops.h"

namespace paro {

class CudaRopeTables {
 public:
  struct Table {
    const float* cosine = nullptr;  // [entries, half]
    const float* sine = nullptr;
    const int32_t* row = nullptr;  // [rows]: the entry of each row of the batch
  };
  /// Valid until the next call.
  Table get(const CudaContext& context, const Rope& rope, const Batch& batch);

 private:
  struct Entry {
    const Rope* rope = nullptr;
    std::vector<int64_t> key;  // start and rows of each segment
    // cos and sin of the last position: an address may come to mean another rope.
    std::vector<float> sample;
    DeviceArray<float> cosine, sine;
    DeviceArray<int32_t> row;
  };
  std::vector<Entry> entries_;
};

}  // namespace paro
