// Speed of a loaded model: prefill and decode beside what the machine allows. The figures behind `paro bench`.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "kernels/machine/machine_limits.h"
#include "runtime/engine.h"

namespace paro {

struct SpeedOptions {
  // Empty: kPrefillSizes and kDecodeContexts, as far as the model's context holds them.
  std::vector<int64_t> prefill_rows;
  std::vector<int64_t> decode_contexts;
  int64_t decode_tokens = 32;  // timed at each context
  int64_t repeats = 0;         // of each measurement after one that warms up; 0: as many as two seconds hold, 1 to 20
  const std::atomic<bool>* cancel = nullptr;
};
constexpr int64_t kPrefillSizes[] = {1, 2, 4, 8, 16, 64, 512, 2048};
constexpr int64_t kDecodeContexts[] = {0, 512, 4096, 16384};

struct SpeedPoint {
  int64_t size = 0;      // rows of a prefill; positions in the cache before a decode
  double seconds = 0.0;  // median: of a prefill; of one token
  double least = 0.0;    // of the same
  double most = 0.0;
  int64_t measured = 0;  // prefills or tokens that it is the median of
  double tokens_per_second = 0.0;
  MachineLimits machine;  // the better of what was measured before it and behind it
  double share_of_limit = 0.0;
  std::vector<OpProfile> profile;  // of all that was measured; empty unless the op set was made to profile
  double profiled_seconds = 0.0;   // that all of it took
};

/// What one token or row costs at least.
struct ModelCost {
  int64_t weight_bytes = 0;     // read for one token: all linears, the head
  int64_t embedding_bytes = 0;  // of the table, where it is not the head, too
  int64_t kv_bytes = 0;         // read for each position in the cache
  int64_t packed_macs = 0;      // multiply-adds a row in quantized linears
  int64_t dense_macs = 0;       // in dense ones, without the head
  int64_t head_macs = 0;        // once for each prefill
  bool head_packed = false;
  int64_t attention_macs = 0;  // a row and position
};
ModelCost model_cost(const Engine& engine);

/// Bytes. Weights of a mapped file count as resident as far as they were read.
struct MemoryUse {
  int64_t resident = 0;  // behind the last measurement
  int64_t peak = 0;      // the most, loading included, the buffer of the machine's limits not
  int64_t weights = 0;   // linears, head, embedding
  int64_t kv = 0;        // of the positions that were filled
  int64_t scratch = 0;   // reserved for activations
  double ratio() const { return static_cast<double>(resident) / static_cast<double>(weights + kv); }
};

struct SpeedReport {
  MachineLimits machine;  // the best of all measurements
  ModelCost cost;
  MemoryUse memory;
  std::vector<SpeedPoint> prefill;
  std::vector<SpeedPoint> decode;
  // Default sizes that the context of the model does not hold.
  std::vector<int64_t> left_out_rows;
  std::vector<int64_t> left_out_contexts;
  bool cancelled = false;
};

/// Seeded random ids; a context is filled with random keys and values, which costs no prefill and is as slow to read.
/// Throws Error{kUsage} for sizes in `options` that the model's context cannot hold.
SpeedReport measure_speed(const Engine& engine, const SpeedOptions& options);

/// The least time that `work` takes on such a machine, as a share of `seconds`; 0 where no work is known.
double share_of_limit(const OpWork& work, const MachineLimits& machine, double seconds);

}  // namespace paro
