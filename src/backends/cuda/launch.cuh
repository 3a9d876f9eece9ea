// What kernels over elements and warps have in common. Device code only.
#pragma once

#include <cstdint>

namespace paro {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

/// Blocks of kThreads threads for a loop over `count` elements.
inline int blocks_for(int64_t count) {
  const int64_t blocks = (count + kThreads - 1) / kThreads;
  return static_cast<int>(blocks < 1 ? 1 : blocks > (int64_t{1} << 20) ? int64_t{1} << 20 : blocks);
}

/// Blocks of kThreads threads with one warp for each of `count` tasks.
inline int blocks_of_warps(int64_t count) { return static_cast<int>((count + kWarps - 1) / kWarps); }

/// All elements of a launch of any size: element i, i + stride, ...
#define PARO_FOR_ELEMENTS(i, count)                                                          \
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < (count); \
       i += static_cast<int64_t>(gridDim.x) * blockDim.x)

constexpr unsigned kAllLanes = 0xffffffffu;

/// Over the lanes of a warp, in every lane; the same tree every time.
template <typename T>
__device__ T warp_sum(T value) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}

inline __device__ float warp_max(float value) {
  for (int offset = 16; offset > 0; offset /= 2) value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, offset));
  return value;
}

}  // namespace paro
