// What `paro quantize` is asked to do, checked before anything is opened.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "calib/calibration_text.h"
#include "calib/numeric/pairs.h"
#include "io/hub.h"

namespace paro::calib {

enum class Method {
  kParoQuant,  // rotation fit, target correction, second-order rounding
  kGptq,       // the same without rotation
  kRtn,        // round to nearest; no calibration
};

/// Which error of earlier layers the targets make up for.
enum class Correction {
  kFull,    // the input's and the residual stream's
  kTarget,  // the input's
  kOff,
};

struct QuantizeOptions {
  std::string model;
  std::filesystem::path output;
  Method method = Method::kParoQuant;
  int64_t bits = 4;
  int64_t group_size = 128;
  int64_t rotations = 8;  // rounds; 0: none
  PairKind pairs = PairKind::kRandom;
  bool share_rotations = true;  // one for q, k, v and one for gate, up
  Correction correction = Correction::kFull;
  std::vector<CalibrationFile> calibration;  // empty: text sampled from the model itself
  int64_t samples = 128;
  int64_t seq_len = 2048;
  uint64_t seed = 0;
  std::vector<std::string> skip;  // regular expressions of linears that stay 16-bit
  int64_t sweeps = 0;             // of coordinate descent after GPTQ
  bool resume = false;
  int threads = 0;  // 0: physical cores
  HubOptions hub;
  const std::atomic<bool>* cancel = nullptr;

  /// Everything that the output's bytes depend on besides the source: the model card and --resume compare it.
  Json settings() const;
};

}  // namespace paro::calib
