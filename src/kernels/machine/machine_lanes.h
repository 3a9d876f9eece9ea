// The loops for any Vec (vec/*.h) and Bytes (one int8 step: kInstructionMacs multiply-adds into a sum).
#pragma once

#include "kernels/machine/machine_limits.h"

namespace paro {
namespace {

constexpr int kChains = 10;  // independent sums: latency (up to 5 cycles) times throughput (2) of a multiplication
constexpr int kSteps = 8;

uint64_t read(const uint8_t* data, int64_t bytes) {
  Vec::I sum[4] = {Vec::izero(), Vec::izero(), Vec::izero(), Vec::izero()};
  constexpr int line = 4 * Vec::kWidth;
  for (int64_t i = 0; i < bytes; i += 4 * line) {
    for (int k = 0; k < 4; ++k) sum[k] = Vec::ior(sum[k], Vec::iload(data + i + k * line));
  }
  return static_cast<uint64_t>(Vec::isum_lanes(Vec::ior(Vec::ior(sum[0], sum[1]), Vec::ior(sum[2], sum[3]))));
}

// Hidden: the same operands in every round must not let the optimiser multiply once; in order: products made ahead of
// their sums would spill.
uint64_t int8_multiply(int64_t rounds) {
  Vec::I total[kChains];
  Vec::I a = Vec::iset1(0x01020304);
  Vec::I b = Vec::iset1(0x05060708);
  for (auto& t : total) t = Vec::izero();
  for (int64_t r = 0; r < rounds; ++r) {
    Vec::I part[kChains];
    for (int c = 0; c < kChains; ++c) part[c] = Bytes::start(total[c]);
#pragma GCC unroll 8
    for (int s = 0; s < kSteps; ++s) {
      for (int c = 0; c < kChains; ++c) {
        Vec::hide_in_order(a);
        part[c] = Bytes::add(part[c], a, b);
        Vec::hide_in_order(part[c]);
      }
    }
    for (int c = 0; c < kChains; ++c) total[c] = Bytes::finish(total[c], part[c]);
  }
  for (int c = 1; c < kChains; ++c) total[0] = Vec::iadd(total[0], total[c]);
  return static_cast<uint64_t>(Vec::isum_lanes(total[0]));
}

uint64_t f32_multiply(int64_t rounds) {
  Vec::F total[kChains];
  Vec::F a = Vec::set1(0.5f);
  Vec::F b = Vec::set1(0.25f);
  for (auto& t : total) t = Vec::zero();
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 8
    for (int s = 0; s < kSteps; ++s) {
      Vec::hide_in_order(a);
      Vec::hide_in_order(b);
      for (auto& t : total) t = Vec::fma(a, b, t);
    }
  }
  for (int c = 1; c < kChains; ++c) total[0] = Vec::add(total[0], total[c]);
  return static_cast<uint64_t>(Vec::sum(total[0]));
}

constexpr int64_t kInt8Macs = int64_t{kChains} * kSteps * 4 * Vec::kWidth;
constexpr int64_t kF32Flops = int64_t{kChains} * kSteps * 2 * Vec::kWidth;

}  // namespace
}  // namespace paro
