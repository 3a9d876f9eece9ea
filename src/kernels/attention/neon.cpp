#include "kernels/vec/neon.h"

#include "kernels/vec/bytes_neondot.h"

#include "kernels/attention/f16_lanes.h"
#include "kernels/attention/tiles_dot.h"

#include "kernels/attention/int8_lanes.h"
#include "kernels/attention/variants.h"

namespace paro {

constinit const AttentionKernels attention_neon{Isa::kNeon, KvBits::k16, store_f16_position, attend_chunk<F16Format>,
                                                attend_rows<F16Format>};
constinit const AttentionKernels attention_int8_neon{Isa::kNeon, KvBits::k8, store_int8_position,
                                                     attend_chunk<Int8Format>, attend_rows<Int8Format>};

}  // namespace paro
