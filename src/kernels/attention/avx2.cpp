#include "kernels/vec/avx2.h"

#include "kernels/attention/f16_lanes.h"
#include "kernels/attention/tiles_madd.h"

#include "kernels/attention/int8_lanes.h"
#include "kernels/attention/variants.h"

namespace paro {

constinit const AttentionKernels attention_avx2{Isa::kAvx2, KvBits::k16, store_f16_position, attend_chunk<F16Format>,
                                                attend_rows<F16Format>};
constinit const AttentionKernels attention_int8_avx2{Isa::kAvx2, KvBits::k8, store_int8_position,
                                                     attend_chunk<Int8Format>, attend_rows<Int8Format>};

}  // namespace paro
