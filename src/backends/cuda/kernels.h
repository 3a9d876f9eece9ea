// The launches of the op set's own kernels: plain C++, so that no other header meets the device compiler. Everything is
// row-major; errors of a launch are found by cuda_check(cudaGetLastError()) of the caller.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace paro {

enum class DeviceType { kF32, kF16, kBF16 };

/// out[i] = values[i] in f32.
void launch_widen(cudaStream_t stream, const void* values, DeviceType type, int64_t count, float* out);
/// out [rows, dim], out[r] = table[ids[r]].
void launch_embed(cudaStream_t stream, const void* table, DeviceType type, const int32_t* ids, int64_t rows,
                  int64_t dim, float* out);
/// x += y.
void launch_add(cudaStream_t stream, float* x, const float* y, int64_t count);
/// x [rows, dim] += bias [dim].
void launch_add_bias(cudaStream_t stream, float* x, const float* bias, int64_t rows, int64_t dim);
/// y [rows, dim] = x - y - bias; bias may be null.
void launch_subtract_from(cudaStream_t stream, const float* x, float* y, const float* bias, int64_t rows, int64_t dim);
/// out = x / rms(x) * weight over each row of `dim`; in place is allowed.
void launch_rms_norm(cudaStream_t stream, const float* x, const float* weight, float eps, int64_t rows, int64_t dim,
                     float* out);
/// out = silu(gate) * up.
void launch_silu_mul(cudaStream_t stream, const float* gate, const float* up, int64_t count, float* out);
/// Turns pairs (i, i + half) of each of `heads` heads of x [rows, heads * 2 half] by the angles of the row's entry
/// table_row[r] in cosine and sine [entries, half].
void launch_rope(cudaStream_t stream, float* x, const float* cosine, const float* sine, const int32_t* table_row,
                 int64_t rows, int64_t heads, int64_t half);
/// Softmax over the keys that a query sees. scores [count, queries, keys]; query q (position first + q) sees keys
/// max(0, p - window + 1) .. p; the weights of all others become 0. window 0: all up to p.
void launch_causal_softmax(cudaStream_t stream, float* scores, int64_t count, int64_t queries, int64_t keys,
                           int64_t first, int64_t window);
/// out[i] = x[rows[i]].
void launch_gather_rows(cudaStream_t stream, const float* x, const int64_t* rows, int64_t count, int64_t dim,
                        float* out);
/// Addresses of the heads of `sequences` sequences, `length` rows each: out[s * heads + h] = base + s * length * stride
/// + h / share * head_dim.
void launch_head_addresses(cudaStream_t stream, float* base, int64_t sequences, int64_t length, int64_t stride,
                           int64_t heads, int64_t share, int64_t head_dim, float** out);

/// x [rows, k] as the sum of two bf16: piece p of row r begins at pieces + r * row_stride + p * piece_stride; pieces
/// high, high, low (`first`) or high, low, high.
void launch_split(cudaStream_t stream, const float* x, int64_t rows, int64_t k, int64_t row_stride,
                  int64_t piece_stride, bool first, uint16_t* pieces);

}  // namespace paro
