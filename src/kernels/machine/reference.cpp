#include <cstring>

#include "kernels/machine/variants.h"

namespace paro {
namespace {

constexpr int64_t kOperations = 64;

uint64_t read(const uint8_t* data, int64_t bytes) {
  uint64_t sum = 0;
  for (int64_t i = 0; i < bytes; i += 8) {
    uint64_t word;
    std::memcpy(&word, data + i, 8);
    sum |= word;
  }
  return sum;
}

uint64_t int8_multiply(int64_t rounds) {
  uint64_t sum = 0;
  for (int64_t i = 0; i < rounds * kOperations; ++i) sum += static_cast<uint64_t>((i & 15) * (i & 127));
  return sum;
}

uint64_t f32_multiply(int64_t rounds) {
  float sum[4] = {};
  for (int64_t i = 0; i < rounds * kOperations / 4; ++i)
    for (float& s : sum) s = s * 0.5f + 1.0f;
  return static_cast<uint64_t>(sum[0] + sum[1] + sum[2] + sum[3]);
}

}  // namespace

const MachineKernels kMachineReference{Isa::kReference, read,         int8_multiply,
                                       kOperations,     f32_multiply, 2 * kOperations};

}  // namespace paro
