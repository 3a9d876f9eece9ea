// Text sampled from a model itself at temperature 1: calibration without any file, and text to measure on.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "model/model.h"

namespace paro::calib {

struct SelfTextOptions {
  int64_t samples = 32;
  int64_t length = 1024;  // tokens of each
  uint64_t seed = 0;
  const std::atomic<bool>* cancel = nullptr;
};

/// `samples` sequences of `length` ids, [samples, length], drawn with the model's own probabilities; sequence i starts
/// from starts[i % size] (not part of the text), and goes on behind an end-of-text token. One that repeats itself
/// (under half of its 8-grams are distinct) is drawn again, at most twice. The same seed gives the same ids on one
/// machine. Throws Error{kInput} when logits are not finite; empty when cancelled.
std::vector<int32_t> sample_text(const Model& model, Ops& ops, std::span<const int32_t> starts,
                                 const SelfTextOptions& options);

}  // namespace paro::calib
