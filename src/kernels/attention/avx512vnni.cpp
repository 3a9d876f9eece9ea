#include "kernels/vec/avx512.h"

#include "kernels/vec/bytes_avx512vnni.h"

#include "kernels/attention/tiles_dot.h"

#include "kernels/attention/int8_lanes.h"
#include "kernels/attention/variants.h"

namespace paro {

constinit const AttentionKernels attention_int8_avx512vnni{Isa::kAvx512Vnni, KvBits::k8, store_int8_position,
                                                           attend_chunk<Int8Format>, attend_rows<Int8Format>};

}  // namespace paro
