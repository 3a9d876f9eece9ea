// The machine's own limits, measured: what kernels are compared with.
#pragma once

#include <cstdint>
#include <span>

#include "base/cpu.h"
#include "base/threads.h"

namespace paro {

struct MachineLimits {
  double read_gb_per_s = 0.0;    // sequential reads of a buffer larger than the last-level cache, all threads
  double int8_gmac_per_s = 0.0;  // products of unsigned and signed bytes summed in registers, all threads
  double f32_gflop_per_s = 0.0;  // fused multiply-adds in registers, two operations each, all threads
};

/// Best of several passes with all threads of `pool`, in about `seconds`.
MachineLimits measure_machine_limits(ThreadPool& pool, Isa isa = active_isa(), double seconds = 1.0);

/// The loops behind it. Each returns a value that depends on all the work.
struct MachineKernels {
  Isa isa;
  /// Reads bytes (a multiple of 1024).
  uint64_t (*read)(const uint8_t* data, int64_t bytes);
  /// `rounds` rounds of int8_macs multiply-adds.
  uint64_t (*int8_multiply)(int64_t rounds);
  int64_t int8_macs;
  /// `rounds` rounds of f32_flops operations.
  uint64_t (*f32_multiply)(int64_t rounds);
  int64_t f32_flops;
};
std::span<const MachineKernels> machine_variants();

}  // namespace paro
