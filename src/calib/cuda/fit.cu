#include "backends/cuda/launch.cuh"
#include "calib/cuda/kernels.h"

namespace paro::calib {
namespace {

// Lanes are rows; a row of padding keeps the turned access off one bank.
constexpr int kTile = 32;
constexpr int kStride = kTile + 1;

/// What a row adds to the gradient: `up` times its weights to row `high` of d loss / d R, `down` times to row `low`.
struct alignas(16) RowSlope {
  float up, down;
  int high, low;
};

/// Pairs that a warp turns at a time: all their loads are on the way before the first is used.
constexpr int kTogether = 8;

/// The turns of one group, as a block reads them: for each pair the places of its channels in a tile and the angle.
struct TurnTable {
  const int* places;   // [rounds, g/2]: i * kStride + (j * kStride << 16)
  const float2* turn;  // [rounds, g/2]: cosine, sine
};

/// Shared memory: a tile [g, kStride] for each warp, the gradient [g, g], a RowSlope for each row, the TurnTable.
__host__ __device__ size_t evaluate_bytes(int g, int rounds, int warps) {
  return sizeof(float) * static_cast<size_t>(warps * g * kStride + g * g) +
         sizeof(RowSlope) * static_cast<size_t>(warps * kTile) +
         (sizeof(int) + sizeof(float2)) * static_cast<size_t>(rounds * g / 2);
}

/// Values that a thread asks for before it uses the first.
constexpr int kLoads = 16;

/// kTile rows of a group into a warp's tile; 0 behind the last row.
__device__ void load_tile(const FitLaunch& fit, int64_t row, int64_t channel, float* tile, int lane) {
  const int g = fit.group;
  const int shift = 31 - __clz(g);
  for (int e0 = lane; e0 < kTile * g; e0 += kLoads * 32) {
    float w[kLoads];
#pragma unroll
    for (int k = 0; k < kLoads; ++k) {
      const int r = (e0 + 32 * k) >> shift;
      const int c = (e0 + 32 * k) & (g - 1);
      w[k] = row + r < fit.rows ? fit.weight[(row + r) * fit.in + channel + c] : 0.0f;
    }
#pragma unroll
    for (int k = 0; k < kLoads; ++k) tile[((e0 + 32 * k) & (g - 1)) * kStride + ((e0 + 32 * k) >> shift)] = w[k];
  }
  __syncwarp();
}

/// Turns a tile's columns (lanes are rows) through all rounds.
__device__ void turn_tile(const TurnTable& table, int rounds, int angles, float* tile, int lane) {
  for (int round = 0; round < rounds; ++round) {
    for (int t = round * angles; t < (round + 1) * angles; t += kTogether) {
      float* x[kTogether];
      float* y[kTogether];
      float a[kTogether], b[kTogether];
#pragma unroll
      for (int p = 0; p < kTogether; ++p) {
        const int places = table.places[t + p];
        x[p] = tile + (places & 0xffff) + lane;
        y[p] = tile + (places >> 16) + lane;
        a[p] = *x[p];
        b[p] = *y[p];
      }
#pragma unroll
      for (int p = 0; p < kTogether; ++p) {
        const float2 turn = table.turn[t + p];
        *x[p] = fmaf(turn.x, a[p], turn.y * b[p]);
        *y[p] = fmaf(turn.x, b[p], -(turn.y * a[p]));
      }
    }
    __syncwarp();
  }
}

/// The sum of a block's values in a fixed order; valid in thread 0. Needs a value for each warp.
__device__ double block_sum(double value, double* parts) {
  value = warp_sum(value);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  double sum = 0.0;
  if (threadIdx.x == 0)
    for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) sum += parts[warp];
  return sum;
}

/// Block (slice, group): every slices-th batch of warps * kTile rows. Each warp turns a tile of its own (lanes are
/// rows); then every thread owns a column of the gradient and, where there are more threads than columns, every n-th
/// row.
__global__ void evaluate(FitLaunch fit) {
  extern __shared__ __align__(16) float shared[];
  __shared__ double parts[32];
  const int g = fit.group;
  const int angles = g / 2;
  const int warps = blockDim.x / 32;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  float* tile = shared + warp * g * kStride;
  float* gradient = shared + warps * g * kStride;
  RowSlope* slopes = reinterpret_cast<RowSlope*>(gradient + g * g);
  float2* turn = reinterpret_cast<float2*>(slopes + warps * kTile);
  int* places = reinterpret_cast<int*>(turn + fit.rounds * angles);
  const TurnTable table = {places, turn};
  const int64_t first = static_cast<int64_t>(blockIdx.y) * g;
  for (int i = threadIdx.x; i < fit.rounds * angles; i += blockDim.x) {
    const int64_t round = i / angles;
    const int16_t* pair = fit.pairs + round * fit.in + first + 2 * (i % angles);
    places[i] = pair[0] * kStride + (pair[1] * kStride << 16);
    const int64_t at = round * (fit.in / 2) + first / 2 + i % angles;
    turn[i] = {fit.cosine[at], fit.sine[at]};
  }
  for (int i = threadIdx.x; i < g * g; i += blockDim.x) gradient[i] = 0.0f;
  __syncthreads();
  const unsigned mask = ~static_cast<unsigned>(g - 1);
  const int batch = warps * kTile;
  const int columns = min(g, static_cast<int>(blockDim.x));
  const int shares = blockDim.x / columns;
  const int share = threadIdx.x / columns;
  double loss = 0.0;
  for (int64_t row0 = static_cast<int64_t>(blockIdx.x) * batch; row0 < fit.rows;
       row0 += static_cast<int64_t>(fit.slices) * batch) {
    const int64_t mine = row0 + warp * kTile;
    load_tile(fit, mine, first, tile, lane);
    turn_tile(table, fit.rounds, angles, tile, lane);
    float high = 0.0f;
    float low = 0.0f;
    for (int c = 0; c < g; ++c) {
      // The low bits hold the channel.
      const float tagged =
          __uint_as_float((__float_as_uint(tile[c * kStride + lane]) & mask) | static_cast<unsigned>(c));
      high = fmaxf(high, tagged);
      low = fminf(low, tagged);
    }
    const float weight = mine + lane < fit.rows ? fit.row_weight[mine + lane] : 0.0f;
    const float scale = (high - low) / fit.levels;
    const float slope = 2.0f * weight * scale / fit.levels;
    loss += static_cast<double>(weight * scale * scale);
    slopes[warp * kTile + lane] = {high > 0.0f ? slope : 0.0f, low < 0.0f ? -slope : 0.0f,
                                   static_cast<int>(__float_as_uint(high) & ~mask),
                                   static_cast<int>(__float_as_uint(low) & ~mask)};
    __syncthreads();
    for (int c = threadIdx.x % columns; c < g; c += columns) {
      float* column_gradient = gradient + c;
      for (int r0 = 0; r0 < batch; r0 += kLoads) {
        float w[kLoads];
#pragma unroll
        for (int k = 0; k < kLoads; ++k)
          w[k] = row0 + r0 + k < fit.rows ? fit.weight[(row0 + r0 + k) * fit.in + first + c] : 0.0f;
#pragma unroll
        for (int k = 0; k < kLoads; ++k) {
          const RowSlope row = slopes[r0 + k];
          if ((row.high & (shares - 1)) == share)
            column_gradient[row.high * g] = fmaf(row.up, w[k], column_gradient[row.high * g]);
          if ((row.low & (shares - 1)) == share)
            column_gradient[row.low * g] = fmaf(row.down, w[k], column_gradient[row.low * g]);
        }
      }
    }
    __syncthreads();
  }
  const int64_t out = static_cast<int64_t>(blockIdx.y) * fit.slices + blockIdx.x;
  for (int i = threadIdx.x; i < g * g; i += blockDim.x) fit.gradients[out * g * g + i] = gradient[i];
  const double total = block_sum(loss, parts);
  if (threadIdx.x == 0) fit.losses[out] = total;
}

constexpr int kStepThreads = 512;
constexpr int kMaxAngles = 16 * 64;  // rounds * g/2

/// One block a group: angle_gradient of numeric/kernels.h for 32 columns at a time (they do not depend on each other),
/// one warp a pair; then Adam.
__global__ void angle_step(FitLaunch fit, const double* scale, AdamStep step, float* theta, double* first_moment,
                           double* second_moment) {
  extern __shared__ float shared[];
  __shared__ float slope[kMaxAngles];
  const int g = fit.group;
  const int angles = g / 2;
  const int64_t group = blockIdx.x;
  const int64_t first = group * g;
  const int64_t half = fit.in / 2;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  constexpr int kStepWarps = kStepThreads / 32;
  float* y = shared;                  // [g, kStride]: 32 columns of R
  float* gradient = y + g * kStride;  // [g, kStride]
  for (int i = threadIdx.x; i < fit.rounds * angles; i += blockDim.x) slope[i] = 0.0f;
  for (int column = 0; column < g; column += 32) {
    __syncthreads();
    for (int i = threadIdx.x; i < g * 32; i += blockDim.x) {
      const int r = i / 32;
      y[r * kStride + lane] = r == column + lane ? 1.0f : 0.0f;
      float sum = 0.0f;
      for (int slice = 0; slice < fit.slices; ++slice)
        sum += fit.gradients[((group * fit.slices + slice) * g + r) * g + column + lane];
      gradient[r * kStride + lane] = sum;
    }
    __syncthreads();
    for (int64_t round = 0; round < fit.rounds; ++round) {
      for (int t = warp; t < angles; t += kStepWarps) {
        const int16_t* pair = fit.pairs + round * fit.in + first + 2 * t;
        const float c = fit.cosine[round * half + first / 2 + t];
        const float s = fit.sine[round * half + first / 2 + t];
        float* yi = y + pair[0] * kStride + lane;
        float* yj = y + pair[1] * kStride + lane;
        const float a = *yi;
        const float b = *yj;
        *yi = fmaf(c, a, s * b);
        *yj = fmaf(c, b, -(s * a));
      }
      __syncthreads();
    }
    for (int64_t round = fit.rounds - 1; round >= 0; --round) {
      for (int t = warp; t < angles; t += kStepWarps) {
        const int16_t* pair = fit.pairs + round * fit.in + first + 2 * t;
        const float c = fit.cosine[round * half + first / 2 + t];
        const float s = -fit.sine[round * half + first / 2 + t];
        float* yi = y + pair[0] * kStride + lane;
        float* yj = y + pair[1] * kStride + lane;
        float* gi = gradient + pair[0] * kStride + lane;
        float* gj = gradient + pair[1] * kStride + lane;
        const float ya = *yi;
        const float yb = *yj;
        const float ga = *gi;
        const float gb = *gj;
        const float sum = warp_sum(ga * yb - gb * ya);
        if (lane == 0) slope[round * angles + t] += sum;
        *yi = fmaf(c, ya, s * yb);
        *yj = fmaf(c, yb, -(s * ya));
        *gi = fmaf(c, ga, s * gb);
        *gj = fmaf(c, gb, -(s * ga));
      }
      __syncthreads();
    }
  }
  for (int i = threadIdx.x; i < fit.rounds * angles; i += blockDim.x) {
    const int64_t at = i / angles * half + first / 2 + i % angles;
    const double d = scale[group] * static_cast<double>(slope[i]);
    const double m1 = step.beta1 * first_moment[at] + (1.0 - step.beta1) * d;
    const double m2 = step.beta2 * second_moment[at] + (1.0 - step.beta2) * d * d;
    first_moment[at] = m1;
    second_moment[at] = m2;
    const double root = sqrt(m2 / step.correction2) + step.epsilon;
    const float angle = theta[at] - static_cast<float>(step.rate * m1 / step.correction1 / root);
    theta[at] = angle;
    fit.cosine[at] = cosf(angle);
    fit.sine[at] = sinf(angle);
  }
}

}  // namespace

int fit_warps(int group, int rounds, int shared_bytes) {
  for (int warps = 8; warps >= 1; warps /= 2)
    // 1 KiB: what the system and `parts` take.
    if (evaluate_bytes(group, rounds, warps) + 1024 <= static_cast<size_t>(shared_bytes)) return warps;
  return 0;
}

cudaError_t launch_fit_evaluate(cudaStream_t stream, const FitLaunch& fit, int warps) {
  const size_t bytes = evaluate_bytes(fit.group, fit.rounds, warps);
  const cudaError_t status =
      cudaFuncSetAttribute(evaluate, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (status != cudaSuccess) return status;
  const dim3 grid(static_cast<unsigned>(fit.slices), static_cast<unsigned>(fit.in / fit.group));
  evaluate<<<grid, static_cast<unsigned>(warps * 32), bytes, stream>>>(fit);
  return cudaGetLastError();
}

cudaError_t launch_fit_step(cudaStream_t stream, const FitLaunch& fit, const double* scale, const AdamStep& step,
                            float* theta, double* first, double* second) {
  if (fit.rounds * fit.group / 2 > kMaxAngles) return cudaErrorInvalidValue;
  const size_t bytes = sizeof(float) * static_cast<size_t>(2 * fit.group * kStride);
  angle_step<<<static_cast<unsigned>(fit.in / fit.group), kStepThreads, bytes, stream>>>(fit, scale, step, theta, first,
                                                                                         second);
  return cudaGetLastError();
}

}  // namespace paro::calib
