// cos and sin of a batch's positions: computed once a step for each kind of rope and shared by the layers.
#pragma once

#include <vector>

#include "base/threads.h"
#include "model/ops.h"

namespace paro {

class RopeTables {
 public:
  struct Table {
    const float* cos = nullptr;  // [rows, half]
    const float* sin = nullptr;
  };
  /// Valid until the next call. Allocates only when a batch is larger than any before.
  Table get(ThreadPool& pool, const Rope& rope, const Batch& batch);
  /// Forgets everything: at the end of a step, since a rope's address may come to mean another one.
  void clear();

 private:
  struct Entry {
    const Rope* rope = nullptr;
    std::vector<int64_t> key;  // start and rows of each segment
    std::vector<float> values;
  };
  std::vector<Entry> entries_;
};

}  // namespace paro
