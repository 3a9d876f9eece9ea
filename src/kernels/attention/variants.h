// The compiled variants of this folder; for variants.cpp only.
#pragma once

#include "kernels/attention/attention.h"

namespace paro {

extern const AttentionKernels attention_reference, attention_avx2, attention_avx512, attention_neon;
extern const AttentionKernels attention_int8_reference, attention_int8_avx2, attention_int8_avx512,
    attention_int8_avx512vnni, attention_int8_neon, attention_int8_neoni8mm;

}  // namespace paro
