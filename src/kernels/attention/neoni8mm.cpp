#include "kernels/vec/neon.h"

#include "kernels/vec/bytes_neoni8mm.h"

#include "kernels/attention/tiles_dot.h"

#include "kernels/attention/int8_lanes.h"
#include "kernels/attention/variants.h"

namespace paro {

constinit const AttentionKernels attention_int8_neoni8mm{Isa::kNeonI8mm, KvBits::k8, store_int8_position,
                                                         attend_chunk<Int8Format>, attend_rows<Int8Format>};

}  // namespace paro
