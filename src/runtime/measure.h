// Speed of a loaded model: prefill and decode beside what the machine allows. The figures behind `paro bench`.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "kernels/machine/machine_limits.h"
#include "runtime/engine.h"

namespace paro {

struct SpeedOptions {
  std::vector<int64_t> prefill_rows = {1, 16, 128, 512};
  std::vector<int64_t> decode_contexts = {0, 512};
  int64_t decode_tokens = 32;  // timed at each context
  int64_t repeats = 3;         // of each measurement; medians are reported
  const std::atomic<bool>* cancel = nullptr;
};

struct SpeedPoint {
  int64_t size = 0;      // rows of a prefill; positions in the cache before a decode
  double seconds = 0.0;  // of the prefill; of one token
  double tokens_per_second = 0.0;
  double share_of_limit = 0.0;
};

/// What one token or row costs at least.
struct ModelCost {
  int64_t weight_bytes = 0;  // read for one token: all linears, the head
  int64_t kv_bytes = 0;      // read for each position in the cache
  int64_t packed_macs = 0;   // multiply-adds a row in quantized linears
  int64_t dense_macs = 0;    // in dense ones, without the head
  int64_t head_macs = 0;     // once for each prefill
  bool head_packed = false;
  int64_t attention_macs = 0;  // a row and position
};
ModelCost model_cost(const Engine& engine);

struct SpeedReport {
  MachineLimits machine;  // best of a measurement before and one after
  ModelCost cost;
  std::vector<SpeedPoint> prefill;
  std::vector<SpeedPoint> decode;
  std::vector<OpProfile> prefill_profile;  // of the largest prefill; empty unless the op set was made to profile
  std::vector<OpProfile> decode_profile;   // at the first context
  bool cancelled = false;
};

/// Seeded random ids. Throws Error{kUsage} for sizes that the model's context cannot hold.
SpeedReport measure_speed(const Engine& engine, const SpeedOptions& options);

}  // namespace paro
