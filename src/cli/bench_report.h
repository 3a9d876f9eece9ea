// What `paro bench` prints: the report as text for people or as JSON.
#pragma once

#include <string>

#include "base/json.h"
#include "runtime/measure.h"

namespace paro::cli {

/// What was measured, and on what.
struct BenchSubject {
  std::string model;
  std::string isa;
  int threads = 0;
  std::string activations;
  std::string head_bits;
  int kv_bits = 16;
  int64_t context_length = 0;
  CoarseOpCounts default_bodies = {};  // taken by the op set since it was made
};

std::string bench_text(const BenchSubject& subject, const SpeedReport& report);
Json bench_json(const BenchSubject& subject, const SpeedReport& report);

}  // namespace paro::cli
