#include "backends/cuda/launch.cuh"
#include "calib/cuda/kernels.h"

namespace paro::calib {
namespace {

constexpr int kTile = 32;

__global__ void add_to_total(double* total, int64_t stride, const float* part, int64_t part_stride, int64_t columns) {
  const int64_t row = blockIdx.y;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (column < columns) total[row * stride + column] += static_cast<double>(part[row * part_stride + column]);
}

/// Tiles of the upper triangle go out straight and transposed.
__global__ void symmetric(const double* total, double factor, int64_t n, double* h) {
  __shared__ double tile[kTile][kTile + 1];
  const int64_t i0 = static_cast<int64_t>(blockIdx.y) * kTile;
  const int64_t j0 = static_cast<int64_t>(blockIdx.x) * kTile;
  if (j0 < i0) return;
  for (int r = threadIdx.y; r < kTile; r += blockDim.y) {
    const int64_t i = i0 + r;
    const int64_t j = j0 + threadIdx.x;
    tile[r][threadIdx.x] = i < n && j < n ? total[i <= j ? i * n + j : j * n + i] * factor : 0.0;
    if (i < n && j < n) h[i * n + j] = tile[r][threadIdx.x];
  }
  __syncthreads();
  for (int r = threadIdx.y; r < kTile; r += blockDim.y) {
    const int64_t i = j0 + r;
    const int64_t j = i0 + threadIdx.x;
    if (i < n && j < n) h[i * n + j] = tile[threadIdx.x][r];
  }
}

__global__ void scale(const double* x, double factor, int64_t count, double* out) {
  PARO_FOR_ELEMENTS(i, count) out[i] = x[i] * factor;
}
__global__ void difference(const double* a, const double* b, int64_t count, double* out) {
  PARO_FOR_ELEMENTS(i, count) out[i] = a[i] - b[i];
}
__global__ void count_nonfinite(const double* x, int64_t count, unsigned long long* bad) {
  unsigned long long mine = 0;
  PARO_FOR_ELEMENTS(i, count) mine += isfinite(x[i]) ? 0 : 1;
  if (mine > 0) atomicAdd(bad, mine);
}
__global__ void copy_diagonal(const double* h, int64_t n, double* diagonal) {
  PARO_FOR_ELEMENTS(i, n) diagonal[i] = h[i * n + i];
}
__global__ void damp(double substitute, double extra, int64_t n, double* a) {
  PARO_FOR_ELEMENTS(i, n) {
    double value = a[i * n + i];
    if (substitute >= 0.0 && !(value > 0.0)) value = substitute;
    a[i * n + i] = value + extra;
  }
}
__global__ void reverse(double* a, int64_t count) {
  PARO_FOR_ELEMENTS(i, count / 2) {
    const double first = a[i];
    a[i] = a[count - 1 - i];
    a[count - 1 - i] = first;
  }
}
__global__ void transposed_f32(const double* a, int64_t n, bool upper_only, float* out) {
  __shared__ float tile[kTile][kTile + 1];
  const int64_t i0 = static_cast<int64_t>(blockIdx.y) * kTile;
  const int64_t j0 = static_cast<int64_t>(blockIdx.x) * kTile;
  for (int r = threadIdx.y; r < kTile; r += blockDim.y)
    if (i0 + r < n && j0 + threadIdx.x < n)
      tile[r][threadIdx.x] = static_cast<float>(a[(i0 + r) * n + j0 + threadIdx.x]);
  __syncthreads();
  for (int r = threadIdx.y; r < kTile; r += blockDim.y) {
    const int64_t i = j0 + r;
    const int64_t j = i0 + threadIdx.x;
    if (i < n && j < n) out[i * n + j] = upper_only && j < i ? 0.0f : tile[threadIdx.x][r];
  }
}
__global__ void transpose(double* a, int64_t n) {
  __shared__ double upper[kTile][kTile + 1];
  __shared__ double lower[kTile][kTile + 1];
  const int64_t i0 = static_cast<int64_t>(blockIdx.y) * kTile;
  const int64_t j0 = static_cast<int64_t>(blockIdx.x) * kTile;
  if (j0 < i0) return;
  for (int r = threadIdx.y; r < kTile; r += blockDim.y) {
    if (i0 + r < n && j0 + threadIdx.x < n) upper[r][threadIdx.x] = a[(i0 + r) * n + j0 + threadIdx.x];
    if (j0 + r < n && i0 + threadIdx.x < n) lower[r][threadIdx.x] = a[(j0 + r) * n + i0 + threadIdx.x];
  }
  __syncthreads();
  for (int r = threadIdx.y; r < kTile; r += blockDim.y) {
    if (i0 + r < n && j0 + threadIdx.x < n) a[(i0 + r) * n + j0 + threadIdx.x] = lower[threadIdx.x][r];
    if (j0 + r < n && i0 + threadIdx.x < n) a[(j0 + r) * n + i0 + threadIdx.x] = upper[threadIdx.x][r];
  }
}
__global__ void widen(const float* x, int64_t count, double* out) {
  PARO_FOR_ELEMENTS(i, count) out[i] = static_cast<double>(x[i]);
}
__global__ void narrow(const double* x, int64_t count, float* out) {
  PARO_FOR_ELEMENTS(i, count) out[i] = static_cast<float>(x[i]);
}
__global__ void add_diagonal(float* h, float extra, int64_t n) { PARO_FOR_ELEMENTS(i, n) h[i * n + i] += extra; }
__global__ void add_excess(float* w, const double* excess, int64_t count) {
  PARO_FOR_ELEMENTS(i, count) w[i] = static_cast<float>(static_cast<double>(w[i]) + excess[i]);
}

/// Sums a block's values; the same tree every time. Valid in thread 0.
__device__ double block_sum(double value) {
  __shared__ double parts[kThreads];
  parts[threadIdx.x] = value;
  __syncthreads();
  for (int width = kThreads / 2; width > 0; width /= 2) {
    if (threadIdx.x < width) parts[threadIdx.x] += parts[threadIdx.x + width];
    __syncthreads();
  }
  return parts[0];
}
__global__ void dot_parts(const float* a, const float* b, int64_t count, double* parts) {
  double sum = 0.0;
  PARO_FOR_ELEMENTS(i, count) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  const double total = block_sum(sum);
  if (threadIdx.x == 0) parts[blockIdx.x] = total;
}
__global__ void dot_total(const double* parts, double* total) {
  double sum = 0.0;
  for (int i = threadIdx.x; i < kDotParts; i += kThreads) sum += parts[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *total = sum;
}

template <typename T>
__global__ void scale_columns(T* x, const float* factor, int64_t count, int64_t in, bool divide) {
  PARO_FOR_ELEMENTS(i, count) {
    const T f = static_cast<T>(factor[i % in]);
    x[i] = divide ? x[i] * (static_cast<T>(1) / f) : x[i] * f;
  }
}

/// One block takes kTile rows of one group through all rounds: lanes are rows, warps share the pairs.
template <typename T>
__global__ void rotate_rows(T* x, int64_t rows, int64_t in, int group, int rounds, const int16_t* pairs,
                            const T* cosine, const T* sine, bool inverse) {
  extern __shared__ unsigned char shared[];
  T* tile = reinterpret_cast<T*>(shared);  // [group, kTile + 1]
  constexpr int kStride = kTile + 1;
  const int64_t row0 = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t first = static_cast<int64_t>(blockIdx.y) * group;
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const int warps = blockDim.x / 32;
  for (int r = warp; r < kTile; r += warps)
    for (int c = lane; c < group; c += 32)
      tile[c * kStride + r] = row0 + r < rows ? x[(row0 + r) * in + first + c] : static_cast<T>(0);
  __syncthreads();
  for (int step = 0; step < rounds; ++step) {
    const int64_t round = inverse ? rounds - 1 - step : step;
    for (int t = warp; t < group / 2; t += warps) {
      const int64_t at = round * (in / 2) + first / 2 + t;
      const int i = pairs[round * in + first + 2 * t];
      const int j = pairs[round * in + first + 2 * t + 1];
      const T c = cosine[at];
      const T s = inverse ? -sine[at] : sine[at];
      const T a = tile[i * kStride + lane];
      const T b = tile[j * kStride + lane];
      tile[i * kStride + lane] = c * a + s * b;
      tile[j * kStride + lane] = c * b - s * a;
    }
    __syncthreads();
  }
  for (int r = warp; r < kTile; r += warps)
    for (int c = lane; c < group; c += 32)
      if (row0 + r < rows) x[(row0 + r) * in + first + c] = tile[c * kStride + r];
}

template <typename T>
void rotate(cudaStream_t stream, T* x, int64_t rows, int64_t in, int64_t group, int64_t rounds, const int16_t* pairs,
            const T* cosine, const T* sine, bool inverse) {
  const dim3 grid(static_cast<unsigned>((rows + kTile - 1) / kTile), static_cast<unsigned>(in / group));
  const size_t shared = static_cast<size_t>(group * (kTile + 1)) * sizeof(T);
  rotate_rows<T><<<grid, kThreads, shared, stream>>>(x, rows, in, static_cast<int>(group), static_cast<int>(rounds),
                                                     pairs, cosine, sine, inverse);
}

dim3 tiles_of(int64_t n) {
  const auto tiles = static_cast<unsigned>((n + kTile - 1) / kTile);
  return {tiles, tiles};
}
constexpr dim3 kTileThreads(kTile, 8);

}  // namespace

void launch_add_to_total(cudaStream_t stream, double* total, int64_t stride, const float* part, int64_t part_stride,
                         int64_t rows, int64_t columns) {
  const dim3 grid(static_cast<unsigned>((columns + kThreads - 1) / kThreads), static_cast<unsigned>(rows));
  add_to_total<<<grid, kThreads, 0, stream>>>(total, stride, part, part_stride, columns);
}
void launch_symmetric(cudaStream_t stream, const double* total, double factor, int64_t n, double* h) {
  symmetric<<<tiles_of(n), kTileThreads, 0, stream>>>(total, factor, n, h);
}
void launch_scale(cudaStream_t stream, const double* x, double factor, int64_t count, double* out) {
  scale<<<blocks_for(count), kThreads, 0, stream>>>(x, factor, count, out);
}
void launch_difference(cudaStream_t stream, const double* a, const double* b, int64_t count, double* out) {
  difference<<<blocks_for(count), kThreads, 0, stream>>>(a, b, count, out);
}
void launch_count_nonfinite(cudaStream_t stream, const double* x, int64_t count, unsigned long long* bad) {
  count_nonfinite<<<blocks_for(count), kThreads, 0, stream>>>(x, count, bad);
}
void launch_copy_diagonal(cudaStream_t stream, const double* h, int64_t n, double* diagonal) {
  copy_diagonal<<<blocks_for(n), kThreads, 0, stream>>>(h, n, diagonal);
}
void launch_damp(cudaStream_t stream, const double* h, double substitute, double extra, int64_t n, double* a) {
  cudaMemcpyAsync(a, h, static_cast<size_t>(n * n) * sizeof(double), cudaMemcpyDeviceToDevice, stream);
  damp<<<blocks_for(n), kThreads, 0, stream>>>(substitute, extra, n, a);
}
void launch_reverse(cudaStream_t stream, double* a, int64_t count) {
  reverse<<<blocks_for(count / 2), kThreads, 0, stream>>>(a, count);
}
void launch_transposed_f32(cudaStream_t stream, const double* a, int64_t n, bool upper_only, float* out) {
  transposed_f32<<<tiles_of(n), kTileThreads, 0, stream>>>(a, n, upper_only, out);
}
void launch_transpose(cudaStream_t stream, double* a, int64_t n) {
  transpose<<<tiles_of(n), kTileThreads, 0, stream>>>(a, n);
}
void launch_widen(cudaStream_t stream, const float* x, int64_t count, double* out) {
  widen<<<blocks_for(count), kThreads, 0, stream>>>(x, count, out);
}
void launch_narrow(cudaStream_t stream, const double* x, int64_t count, float* out) {
  narrow<<<blocks_for(count), kThreads, 0, stream>>>(x, count, out);
}
void launch_add_diagonal(cudaStream_t stream, float* h, float extra, int64_t n) {
  add_diagonal<<<blocks_for(n), kThreads, 0, stream>>>(h, extra, n);
}
void launch_add_excess(cudaStream_t stream, float* w, const double* excess, int64_t count) {
  add_excess<<<blocks_for(count), kThreads, 0, stream>>>(w, excess, count);
}
void launch_dot(cudaStream_t stream, const float* a, const float* b, int64_t count, double* scratch, double* sum) {
  dot_parts<<<kDotParts, kThreads, 0, stream>>>(a, b, count, scratch);
  dot_total<<<1, kThreads, 0, stream>>>(scratch, sum);
}
void launch_rotate_rows(cudaStream_t stream, float* x, int64_t rows, int64_t in, int64_t group, int64_t rounds,
                        const int16_t* pairs, const float* cosine, const float* sine, bool inverse) {
  rotate(stream, x, rows, in, group, rounds, pairs, cosine, sine, inverse);
}
void launch_rotate_rows(cudaStream_t stream, double* x, int64_t rows, int64_t in, int64_t group, int64_t rounds,
                        const int16_t* pairs, const double* cosine, const double* sine, bool inverse) {
  rotate(stream, x, rows, in, group, rounds, pairs, cosine, sine, inverse);
}
void launch_scale_columns(cudaStream_t stream, float* x, const float* factor, int64_t rows, int64_t in, bool divide) {
  scale_columns<<<blocks_for(rows * in), kThreads, 0, stream>>>(x, factor, rows * in, in, divide);
}
void launch_scale_columns(cudaStream_t stream, double* x, const float* factor, int64_t rows, int64_t in, bool divide) {
  scale_columns<<<blocks_for(rows * in), kThreads, 0, stream>>>(x, factor, rows * in, in, divide);
}

}  // namespace paro::calib
