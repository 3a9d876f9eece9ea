// Rotary position embeddings: the frequencies of each scaling kind. Pure arithmetic; backends turn them into tables.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"

namespace paro {

class Rope {
 public:
  /// Source of the formulas: transformers' modeling_rope_utils (linear, dynamic NTK, llama3, yarn).
  Rope(const RopeConfig& config, int64_t head_dim, int64_t max_positions);

  /// cos and sin of one position, [head_dim / 2] each, already times the attention factor. `length` is the length of
  /// the sequence so far, this step included (the dynamic kind depends on it).
  void fill(int64_t position, int64_t length, float* cos, float* sin) const;
  int64_t half() const { return static_cast<int64_t>(inverse_frequencies_.size()); }

 private:
  /// Dynamic scaling: what each frequency is multiplied with on top of the one before it; 1 otherwise.
  double dynamic_stretch(int64_t length) const;

  RopeConfig config_;
  int64_t head_dim_;
  int64_t max_positions_;
  double attention_factor_ = 1.0;
  std::vector<double> inverse_frequencies_;
};

}  // namespace paro
