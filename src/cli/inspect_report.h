// The facts that `paro inspect` shows, gathered from a checkpoint's tensors.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "model/config.h"

namespace paro::cli {

struct KindTotal {
  std::string name;  // "embedding", "attention", "rotations", ...
  int64_t tensors = 0;
  int64_t elements = 0;
  int64_t bytes = 0;
  std::string types;  // "F16 I32"
};

/// Of all values of one kind: angles, scales, channel scales, norms.
struct ValueHealth {
  std::string name;
  double min = 0.0;
  double max = 0.0;
  int64_t zeros = 0;
  int64_t not_finite = 0;
};

struct InspectReport {
  ModelConfig config;
  int64_t parameters = 0;  // a quantized weight counts its codes; scales, angles and the like are not parameters
  int64_t bytes = 0;
  int64_t kv_bytes_per_token = 0;
  int64_t quantized_linears = 0;
  int64_t quantized_weights = 0;
  std::map<int64_t, int64_t> linears_of_bits;  // quantized ones
  int64_t quantized_bytes = 0;                 // codes, zeros, scales and rotations
  std::vector<KindTotal> kinds;
  std::vector<ValueHealth> health;  // empty when nothing is quantized
  double share_at_ends = 0.0;       // of the codes: 0 or 15
  std::vector<std::string> problems;

  double bits_per_parameter() const;
  double bits_per_quantized_weight() const;
};

/// Reads the tensors of angles, scales and codes whole. Throws Error{kInput} for a config that cannot be used.
InspectReport inspect_checkpoint(const Checkpoint& checkpoint);

}  // namespace paro::cli
