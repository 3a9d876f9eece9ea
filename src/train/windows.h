// Whole windows of tokens through a model's parts on the LibTorch op set.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "train/torch_ops.h"

namespace paro::train {

class WindowRunner {
 public:
  /// `ops` outlives it.
  WindowRunner(TorchOps& ops, int64_t seq_len) : ops_(ops), seq_len_(seq_len), cache_(seq_len) {}

  int64_t seq_len() const { return seq_len_; }
  /// Hidden states [windows, seq_len, dim] behind the embedding; ids [windows, seq_len].
  at::Tensor embed(const Model& ends, std::span<const int32_t> ids);
  /// x [windows, seq_len, dim] through a layer.
  at::Tensor forward(const DecoderLayer& layer, const at::Tensor& x);
  /// The same without gradients, some windows at a time, in the place of x.
  void advance(const DecoderLayer& layer, at::Tensor& x, int64_t windows_at_once);

 private:
  TorchOps& ops_;
  int64_t seq_len_;
  TorchCache cache_;
};

/// The permutation of 0 .. count - 1 of an epoch.
std::vector<int64_t> shuffled(int64_t count, uint64_t seed, uint64_t epoch);

}  // namespace paro::train
