#include <cuda_fp16.h>

#include "backends/cuda/launch.cuh"
#include "calib/cuda/kernels.h"

namespace paro::calib {
namespace {

// The arithmetic of numeric/round_loops.h, value by value.

__device__ float round_ratio(float x, float s) { return rintf(fminf(fmaxf(x / s, -512.0f), 512.0f)); }
__device__ float clamp_code(float code, float levels) { return fminf(fmaxf(code, 0.0f), levels); }
/// f16, never below the smallest subnormal.
__device__ float round_scale(float scale) { return __half2float(__float2half_rn(scale > 1e-7f ? scale : 1e-7f)); }

struct Quantizer {
  float scale, zero;
};

/// Range of one row and group; lane l holds channels l, l + 32, ... in x and their weights in `weight` (clip only).
template <int V>
__device__ Quantizer choose_range(const float (&x)[V], float levels, bool clip, const float (&weight)[V]) {
  float high = 0.0f;
  float low = 0.0f;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    high = fmaxf(high, x[v]);
    low = fminf(low, x[v]);
  }
  high = warp_max(high);
  low = -warp_max(-low);
  Quantizer best = {0.0f, 0.0f};
  float best_error = 0.0f;
  const int ratios = clip ? 17 : 1;
  for (int step = 0; step < ratios; ++step) {
    const float ratio = 1.0f - 0.025f * static_cast<float>(step);
    const float scale = round_scale((high * ratio - low * ratio) / levels);
    const float zero = clamp_code(round_ratio(-(low * ratio), scale), levels);
    float error = 0.0f;
    if (clip) {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const float code = clamp_code(round_ratio(x[v], scale) + zero, levels);
        const float miss = (code - zero) * scale - x[v];
        error = fmaf(weight[v] * miss, miss, error);
      }
      error = warp_sum(error);
    }
    if (step == 0 || error < best_error) {
      best_error = error;
      best = {scale, zero};
    }
  }
  return best;
}

template <int V>
__global__ void round_nearest(RoundLaunch round, const float* w, float* error) {
  const int lane = threadIdx.x % 32;
  const int64_t groups = round.in / (32 * V);
  const int64_t task = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (task >= round.rows * groups) return;
  const int64_t at = task / groups * round.in + task % groups * (32 * V) + lane;
  float x[V];
#pragma unroll
  for (int v = 0; v < V; ++v) x[v] = w[at + 32 * v];
  const Quantizer q = choose_range<V>(x, round.levels, false, x);
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const float code = clamp_code(round_ratio(x[v], q.scale) + q.zero, round.levels);
    if (round.codes != nullptr) round.codes[at + 32 * v] = static_cast<uint8_t>(code);
    if (error != nullptr) error[at + 32 * v] = (code - q.zero) * q.scale - x[v];
  }
  if (lane == 0 && round.scales != nullptr) {
    round.scales[task] = q.scale;
    round.zeros[task] = q.zero;
  }
}

/// The block of a square matrix [n, n] that belongs to a group, to shared memory [g, g].
__device__ void load_block(const float* matrix, int64_t n, int64_t first, int g, float* block) {
  for (int i = threadIdx.x; i < g * g; i += blockDim.x) block[i] = matrix[(first + i / g) * n + first + i % g];
  __syncthreads();
}

/// One warp a row, lanes are channels; the warps of a block share the factor's block.
template <int V>
__global__ void round_group(RoundLaunch round, int64_t index, bool clip, const float* matrix, const float* u,
                            float* errors) {
  constexpr int kGroup = 32 * V;
  extern __shared__ float block[];
  load_block(u, round.in, index * kGroup, kGroup, block);
  const int lane = threadIdx.x % 32;
  const int64_t groups = round.in / kGroup;
  float weight[V];
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const int c = 32 * v + lane;
    const float pivot = block[c * kGroup + c];
    weight[v] = 1.0f / (pivot * pivot);
  }
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32; row < round.rows;
       row += static_cast<int64_t>(gridDim.x) * kWarps) {
    const int64_t at = row * round.in + index * kGroup + lane;
    float x[V], code[V], error[V];
#pragma unroll
    for (int v = 0; v < V; ++v) x[v] = matrix[at + 32 * v];
    const Quantizer q = choose_range<V>(x, round.levels, clip, weight);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      for (int l = 0; l < 32; ++l) {
        const int j = 32 * v + l;
        const float* factors = block + j * kGroup;
        const float column = __shfl_sync(kAllLanes, x[v], l);
        const float rounded = clamp_code(round_ratio(column, q.scale) + q.zero, round.levels);
        const float e = (column - (rounded - q.zero) * q.scale) * (1.0f / factors[j]);
        if (lane == l) {
          code[v] = rounded;
          error[v] = e;
        }
#pragma unroll
        for (int m = v; m < V; ++m)
          if (32 * m + lane > j) x[m] = fmaf(-factors[32 * m + lane], e, x[m]);
      }
    }
#pragma unroll
    for (int v = 0; v < V; ++v) {
      round.codes[at + 32 * v] = static_cast<uint8_t>(code[v]);
      errors[row * kGroup + 32 * v + lane] = error[v];
    }
    if (lane == 0) {
      round.scales[row * groups + index] = q.scale;
      round.zeros[row * groups + index] = q.zero;
    }
  }
}

template <int V>
__global__ void descend_group(RoundLaunch round, int64_t index, const float* slope, const float* h, float* change) {
  constexpr int kGroup = 32 * V;
  extern __shared__ float block[];
  load_block(h, round.in, index * kGroup, kGroup, block);
  const int lane = threadIdx.x % 32;
  const int64_t groups = round.in / kGroup;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32; row < round.rows;
       row += static_cast<int64_t>(gridDim.x) * kWarps) {
    const int64_t at = row * round.in + index * kGroup + lane;
    const float scale = round.scales[row * groups + index];
    const float zero = round.zeros[row * groups + index];
    float gradient[V], code[V], delta[V];
#pragma unroll
    for (int v = 0; v < V; ++v) {
      gradient[v] = slope[at + 32 * v];
      code[v] = static_cast<float>(round.codes[at + 32 * v]);
    }
#pragma unroll
    for (int v = 0; v < V; ++v) {
      for (int l = 0; l < 32; ++l) {
        const int j = 32 * v + l;
        const float* factors = block + j * kGroup;
        const float diagonal = fmaxf(factors[j], 1e-12f);
        const float value = (__shfl_sync(kAllLanes, code[v], l) - zero) * scale;
        const float wanted = value - __shfl_sync(kAllLanes, gradient[v], l) / diagonal;
        const float rounded = clamp_code(round_ratio(wanted, scale) + zero, round.levels);
        const float step = (rounded - zero) * scale - value;
        if (lane == l) {
          code[v] = rounded;
          delta[v] = step;
        }
#pragma unroll
        for (int m = 0; m < V; ++m) gradient[m] = fmaf(factors[32 * m + lane], step, gradient[m]);
      }
    }
#pragma unroll
    for (int v = 0; v < V; ++v) {
      round.codes[at + 32 * v] = static_cast<uint8_t>(code[v]);
      change[row * kGroup + 32 * v + lane] = delta[v];
    }
  }
}

__global__ void rounding_error(RoundLaunch round, const float* w, float* error) {
  const int64_t row = blockIdx.y;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= round.in) return;
  const int64_t group = row * (round.in / round.group) + i / round.group;
  const int64_t at = row * round.in + i;
  error[at] = (static_cast<float>(round.codes[at]) - round.zeros[group]) * round.scales[group] - w[at];
}

__global__ void dequantize(const uint8_t* codes, const uint8_t* zeros, const float* scales, int64_t in, int64_t group,
                           double* out) {
  const int64_t row = blockIdx.y;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= in) return;
  const int64_t g = row * (in / group) + i / group;
  const float value = (static_cast<float>(codes[row * in + i]) - static_cast<float>(zeros[g])) * scales[g];
  out[row * in + i] = static_cast<double>(value);
}

dim3 row_grid(int64_t rows, int64_t in) {
  return {static_cast<unsigned>((in + kThreads - 1) / kThreads), static_cast<unsigned>(rows)};
}

/// kernel(...) for the group's size with g * g floats of shared memory.
#define PARO_LAUNCH_BY_GROUP(kernel, ...)                                      \
  switch (round.group) {                                                       \
    case 32: return launch_with_block(stream, round, kernel<1>, __VA_ARGS__);  \
    case 64: return launch_with_block(stream, round, kernel<2>, __VA_ARGS__);  \
    case 128: return launch_with_block(stream, round, kernel<4>, __VA_ARGS__); \
    default: return cudaErrorInvalidValue;                                     \
  }

template <typename Kernel, typename... Args>
cudaError_t launch_with_block(cudaStream_t stream, const RoundLaunch& round, Kernel kernel, Args... args) {
  const int shared = round.group * round.group * static_cast<int>(sizeof(float));
  const cudaError_t status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared);
  if (status != cudaSuccess) return status;
  // Loading the block is shared by a few rows of each warp.
  const int64_t blocks = (round.rows + 2 * kWarps - 1) / (2 * kWarps);
  kernel<<<static_cast<unsigned>(blocks < 528 ? blocks : 528), kThreads, static_cast<size_t>(shared), stream>>>(
      round, args...);
  return cudaGetLastError();
}

}  // namespace

void launch_round_nearest(cudaStream_t stream, const RoundLaunch& round, const float* w, float* error) {
  const auto blocks = blocks_of_warps(round.rows * (round.in / round.group));
  switch (round.group) {
    case 32: round_nearest<1><<<blocks, kThreads, 0, stream>>>(round, w, error); return;
    case 64: round_nearest<2><<<blocks, kThreads, 0, stream>>>(round, w, error); return;
    default: round_nearest<4><<<blocks, kThreads, 0, stream>>>(round, w, error); return;
  }
}

cudaError_t launch_round_group(cudaStream_t stream, const RoundLaunch& round, int64_t index, bool clip, const float* x,
                               const float* u,
                               float* errors){PARO_LAUNCH_BY_GROUP(round_group, index, clip, x, u, errors)}

cudaError_t launch_descend_group(cudaStream_t stream, const RoundLaunch& round, int64_t index, const float* slope,
                                 const float* h, float* change) {
  PARO_LAUNCH_BY_GROUP(descend_group, index, slope, h, change)
}

void launch_rounding_error(cudaStream_t stream, const RoundLaunch& round, const float* w, float* error) {
  rounding_error<<<row_grid(round.rows, round.in), kThreads, 0, stream>>>(round, w, error);
}

void launch_dequantize(cudaStream_t stream, const uint8_t* codes, const uint8_t* zeros, const float* scales,
                       int64_t rows, int64_t in, int64_t group, double* out) {
  dequantize<<<row_grid(rows, in), kThreads, 0, stream>>>(codes, zeros, scales, in, group, out);
}

}  // namespace paro::calib
