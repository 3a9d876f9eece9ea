#include "kernels/vec/neon.h"

namespace paro {
namespace {

// Matrix products: eight multiply-adds to a 32-bit lane.
struct Bytes {
  using Sum = Vec::I;
  static Sum start(Vec::I dot) { return dot; }
  static Sum add(Sum sum, Vec::I a, Vec::I b) {
    return {vmmlaq_s32(sum.lo, vreinterpretq_s8_s32(a.lo), vreinterpretq_s8_s32(b.lo)),
            vmmlaq_s32(sum.hi, vreinterpretq_s8_s32(a.hi), vreinterpretq_s8_s32(b.hi))};
  }
  static Vec::I finish(Vec::I, Sum sum) { return sum; }
};

}  // namespace
}  // namespace paro

#include "kernels/machine/machine_lanes.h"
#include "kernels/machine/variants.h"

namespace paro {

const MachineKernels kMachineNeonI8mm{Isa::kNeonI8mm, read, int8_multiply, 2 * kInt8Macs, f32_multiply, kF32Flops};

}  // namespace paro
