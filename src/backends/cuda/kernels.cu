#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "backends/cuda/kernels.h"
#include "backends/cuda/launch.cuh"

namespace paro {
namespace {

__device__ float widen(const float* values, int64_t i) { return values[i]; }
__device__ float widen(const __half* values, int64_t i) { return __half2float(values[i]); }
__device__ float widen(const __nv_bfloat16* values, int64_t i) { return __bfloat162float(values[i]); }

template <typename T>
__global__ void widen_kernel(const T* values, int64_t count, float* out) {
  PARO_FOR_ELEMENTS(i, count) out[i] = widen(values, i);
}

template <typename T>
__global__ void embed_kernel(const T* table, const int32_t* ids, int64_t rows, int64_t dim, float* out) {
  PARO_FOR_ELEMENTS(i, rows * dim) out[i] = widen(table, ids[i / dim] * dim + i % dim);
}

__global__ void add_kernel(float* x, const float* y, int64_t count) { PARO_FOR_ELEMENTS(i, count) x[i] += y[i]; }

__global__ void add_bias_kernel(float* x, const float* bias, int64_t count, int64_t dim) {
  PARO_FOR_ELEMENTS(i, count) x[i] += bias[i % dim];
}

__global__ void subtract_from_kernel(const float* x, float* y, const float* bias, int64_t count, int64_t dim) {
  PARO_FOR_ELEMENTS(i, count) y[i] = x[i] - y[i] - (bias == nullptr ? 0.0f : bias[i % dim]);
}

__global__ void silu_mul_kernel(const float* gate, const float* up, int64_t count, float* out) {
  PARO_FOR_ELEMENTS(i, count) out[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

/// One warp a row.
__global__ void rms_norm_kernel(const float* x, const float* weight, float eps, int64_t rows, int64_t dim, float* out) {
  const int lane = threadIdx.x % 32;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= rows) return;
  float sum = 0.0f;
  for (int64_t i = lane; i < dim; i += 32) sum = fmaf(x[row * dim + i], x[row * dim + i], sum);
  const float factor = 1.0f / sqrtf(warp_sum(sum) / static_cast<float>(dim) + eps);
  for (int64_t i = lane; i < dim; i += 32) out[row * dim + i] = x[row * dim + i] * factor * weight[i];
}

__global__ void rope_kernel(float* x, const float* cosine, const float* sine, const int32_t* table_row, int64_t rows,
                            int64_t heads, int64_t half) {
  PARO_FOR_ELEMENTS(i, rows * heads * half) {
    const int64_t row = i / (heads * half);
    const int64_t head = i / half % heads;
    const int64_t pair = i % half;
    float* at = x + (row * heads + head) * 2 * half + pair;
    const float c = cosine[table_row[row] * half + pair];
    const float s = sine[table_row[row] * half + pair];
    const float a = at[0];
    const float b = at[half];
    at[0] = a * c - b * s;
    at[half] = b * c + a * s;
  }
}

/// One warp a query.
__global__ void causal_softmax_kernel(float* scores, int64_t count, int64_t queries, int64_t keys, int64_t first,
                                      int64_t window) {
  const int lane = threadIdx.x % 32;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= count * queries) return;
  const int64_t position = first + row % queries;
  const int64_t begin = window > 0 && position - window + 1 > 0 ? position - window + 1 : 0;
  const int64_t end = position + 1 < keys ? position + 1 : keys;
  float* score = scores + row * keys;
  float largest = -INFINITY;
  for (int64_t k = begin + lane; k < end; k += 32) largest = fmaxf(largest, score[k]);
  largest = warp_max(largest);
  float sum = 0.0f;
  for (int64_t k = begin + lane; k < end; k += 32) {
    const float e = expf(score[k] - largest);
    score[k] = e;
    sum += e;
  }
  const float factor = 1.0f / warp_sum(sum);
  for (int64_t k = lane; k < keys; k += 32) score[k] = k >= begin && k < end ? score[k] * factor : 0.0f;
}

__global__ void gather_rows_kernel(const float* x, const int64_t* rows, int64_t count, int64_t dim, float* out) {
  PARO_FOR_ELEMENTS(i, count * dim) out[i] = x[rows[i / dim] * dim + i % dim];
}

__global__ void head_addresses_kernel(float* base, int64_t sequences, int64_t length, int64_t stride, int64_t heads,
                                      int64_t share, int64_t head_dim, float** out) {
  PARO_FOR_ELEMENTS(i, sequences * heads)
  out[i] = base + i / heads * length * stride + i % heads / share * head_dim;
}

__global__ void split_kernel(const float* x, int64_t rows, int64_t k, int64_t row_stride, int64_t piece_stride,
                             bool first, __nv_bfloat16* pieces) {
  PARO_FOR_ELEMENTS(i, rows * k) {
    const float value = x[i];
    const __nv_bfloat16 high = __float2bfloat16_rn(value);
    const __nv_bfloat16 low = __float2bfloat16_rn(value - __bfloat162float(high));
    __nv_bfloat16* at = pieces + i / k * row_stride + i % k;
    at[0] = high;
    at[piece_stride] = first ? high : low;
    at[2 * piece_stride] = first ? low : high;
  }
}

}  // namespace

void launch_widen(cudaStream_t stream, const void* values, DeviceType type, int64_t count, float* out) {
  const int blocks = blocks_for(count);
  switch (type) {
    case DeviceType::kF32:
      widen_kernel<<<blocks, kThreads, 0, stream>>>(static_cast<const float*>(values), count, out);
      return;
    case DeviceType::kF16:
      widen_kernel<<<blocks, kThreads, 0, stream>>>(static_cast<const __half*>(values), count, out);
      return;
    case DeviceType::kBF16:
      widen_kernel<<<blocks, kThreads, 0, stream>>>(static_cast<const __nv_bfloat16*>(values), count, out);
      return;
  }
}

void launch_embed(cudaStream_t stream, const void* table, DeviceType type, const int32_t* ids, int64_t rows,
                  int64_t dim, float* out) {
  const int blocks = blocks_for(rows * dim);
  switch (type) {
    case DeviceType::kF32:
      embed_kernel<<<blocks, kThreads, 0, stream>>>(static_cast<const float*>(table), ids, rows, dim, out);
      return;
    case DeviceType::kF16:
      embed_kernel<<<blocks, kThreads, 0, stream>>>(static_cast<const __half*>(table), ids, rows, dim, out);
      return;
    case DeviceType::kBF16:
      embed_kernel<<<blocks, kThreads, 0, stream>>>(static_cast<const __nv_bfloat16*>(table), ids, rows, dim, out);
      return;
  }
}

void launch_add(cudaStream_t stream, float* x, const float* y, int64_t count) {
  add_kernel<<<blocks_for(count), kThreads, 0, stream>>>(x, y, count);
}

void launch_add_bias(cudaStream_t stream, float* x, const float* bias, int64_t rows, int64_t dim) {
  add_bias_kernel<<<blocks_for(rows * dim), kThreads, 0, stream>>>(x, bias, rows * dim, dim);
}

void launch_subtract_from(cudaStream_t stream, const float* x, float* y, const float* bias, int64_t rows, int64_t dim) {
  subtract_from_kernel<<<blocks_for(rows * dim), kThreads, 0, stream>>>(x, y, bias, rows * dim, dim);
}

void launch_rms_norm(cudaStream_t stream, const float* x, const float* weight, float eps, int64_t rows, int64_t dim,
                     float* out) {
  rms_norm_kernel<<<blocks_of_warps(rows), kThreads, 0, stream>>>(x, weight, eps, rows, dim, out);
}

void launch_silu_mul(cudaStream_t stream, const float* gate, const float* up, int64_t count, float* out) {
  silu_mul_kernel<<<blocks_for(count), kThreads, 0, stream>>>(gate, up, count, out);
}

void launch_rope(cudaStream_t stream, float* x, const float* cosine, const float* sine, const int32_t* table_row,
                 int64_t rows, int64_t heads, int64_t half) {
  rope_kernel<<<blocks_for(rows * heads * half), kThreads, 0, stream>>>(x, cosine, sine, table_row, rows, heads, half);
}

void launch_causal_softmax(cudaStream_t stream, float* scores, int64_t count, int64_t queries, int64_t keys,
                           int64_t first, int64_t window) {
  causal_softmax_kernel<<<blocks_of_warps(count * queries), kThreads, 0, stream>>>(scores, count, queries, keys, first,
                                                                                   window);
}

void launch_gather_rows(cudaStream_t stream, const float* x, const int64_t* rows, int64_t count, int64_t dim,
                        float* out) {
  gather_rows_kernel<<<blocks_for(count * dim), kThreads, 0, stream>>>(x, rows, count, dim, out);
}

void launch_head_addresses(cudaStream_t stream, float* base, int64_t sequences, int64_t length, int64_t stride,
                           int64_t heads, int64_t share, int64_t head_dim, float** out) {
  head_addresses_kernel<<<blocks_for(sequences * heads), kThreads, 0, stream>>>(base, sequences, length, stride, heads,
                                                                                share, head_dim, out);
}

void launch_split(cudaStream_t stream, const float* x, int64_t rows, int64_t k, int64_t row_stride,
                  int64_t piece_stride, bool first, uint16_t* pieces) {
  split_kernel<<<blocks_for(rows * k), kThreads, 0, stream>>>(x, rows, k, row_stride, piece_stride, first,
                                                              reinterpret_cast<__nv_bfloat16*>(pieces));
}

}  // namespace paro
