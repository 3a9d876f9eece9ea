// The block formats of GGUF's quantized types, one function each: `blocks` consecutive blocks to f32. Scales multiply
// in the order of the format's reference implementation, so the results are the same to the bit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace paro::gguf {

// Blocks of 32: half scale d (and half minimum m in *_1); element j in the low nibble of byte j, j + 16 in the high.
void dequantize_q4_0(const std::byte* from, int64_t blocks, float* out);    // d (q - 8)
void dequantize_q4_1(const std::byte* from, int64_t blocks, float* out);    // d q + m
void dequantize_q5_0(const std::byte* from, int64_t blocks, float* out);    // d (q - 16), fifth bits in a u32
void dequantize_q5_1(const std::byte* from, int64_t blocks, float* out);    // d q + m
void dequantize_q8_0(const std::byte* from, int64_t blocks, float* out);    // d q, signed bytes
void dequantize_iq4_nl(const std::byte* from, int64_t blocks, float* out);  // d table[q]

// Superblocks of 256 with half d (and dmin), and small integer scales of groups of 16 or 32.
void dequantize_q2_k(const std::byte* from, int64_t blocks, float* out);
void dequantize_q3_k(const std::byte* from, int64_t blocks, float* out);
void dequantize_q4_k(const std::byte* from, int64_t blocks, float* out);
void dequantize_q5_k(const std::byte* from, int64_t blocks, float* out);
void dequantize_q6_k(const std::byte* from, int64_t blocks, float* out);
void dequantize_iq4_xs(const std::byte* from, int64_t blocks, float* out);

}  // namespace paro::gguf
