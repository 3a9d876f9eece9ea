#include "kernels/machine/machine_limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "base/topology.h"
#include "kernels/machine/variants.h"
#include "kernels/variants.h"
#include "kernels/vec/aligned_buffer.h"

namespace paro {
namespace {

// Of the read buffer: what is left in the caches from the pass before does not count then.
constexpr int64_t kTimesTheCache = 8;
constexpr int64_t kLeastBufferBytes = int64_t{64} << 20;
constexpr int64_t kMostBufferBytes = int64_t{2} << 30;
constexpr int64_t kRangeBytes = int64_t{1} << 20;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// The shortest time of body() that `seconds` of repetition show.
template <typename Body>
double shortest(double seconds, const Body& body) {
  const double end = now() + seconds;
  double best = 0.0;
  do {
    const double start = now();
    body();
    const double took = now() - start;
    best = best == 0.0 ? took : std::min(best, took);
  } while (now() < end);
  return best;
}

// Work of about a millisecond in `rounds` rounds on every thread, per second.
double rate(ThreadPool& pool, double seconds, uint64_t (*loop)(int64_t), int64_t work) {
  std::atomic<uint64_t> sink{0};
  int64_t rounds = 1024;
  while (rounds < (int64_t{1} << 30)) {
    const double start = now();
    sink += loop(rounds);
    if (now() - start > 1e-3) break;
    rounds *= 2;
  }
  const double time = shortest(seconds, [&] { pool.run([&](int) { sink += loop(rounds); }); });
  return static_cast<double>(rounds * work * pool.size()) / time * 1e-9;
}

}  // namespace

std::span<const MachineKernels> machine_variants() {
  static const MachineKernels variants[] = {
    kMachineReference,
#if defined(__x86_64__)
    kMachineAvx2,
    kMachineAvxVnni,
    kMachineAvx512,
    kMachineAvx512Vnni,
#elif defined(__aarch64__)
    kMachineNeon,
    kMachineNeonI8mm,
#endif
  };
  return variants;
}

MachineLimits measure_machine_limits(ThreadPool& pool, Isa isa, double seconds) {
  const MachineKernels& kernels = variant_for(machine_variants(), isa);
  MachineLimits limits;
  {
    const int64_t bytes = std::clamp(kTimesTheCache * last_level_cache_bytes(), kLeastBufferBytes, kMostBufferBytes) /
                          kRangeBytes * kRangeBytes;
    AlignedBuffer buffer(bytes);
    // Memory that nobody wrote is one page of zeros, which stays in the cache.
    pool.parallel_for(bytes, kRangeBytes, [&](int64_t begin, int64_t end) {
      std::memset(buffer.data() + begin, 1, static_cast<size_t>(end - begin));
    });
    std::atomic<uint64_t> sink{0};
    const double time = shortest(seconds / 2, [&] {
      pool.parallel_for(bytes, kRangeBytes,
                        [&](int64_t begin, int64_t end) { sink += kernels.read(buffer.data() + begin, end - begin); });
    });
    limits.read_gb_per_s = static_cast<double>(bytes) / time * 1e-9;
  }
  limits.int8_gmac_per_s = rate(pool, seconds / 4, kernels.int8_multiply, kernels.int8_macs);
  limits.f32_gflop_per_s = rate(pool, seconds / 4, kernels.f32_multiply, kernels.f32_flops);
  return limits;
}

}  // namespace paro
