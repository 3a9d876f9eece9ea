#include "base/threads.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/topology.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace paro {
namespace {

// Between two loops of a layer the next one comes within microseconds, between two tokens within less than a
// millisecond: spinning that long saves the two context switches (about 5 us each), and a pool without work sleeps.
constexpr std::chrono::microseconds kSpin{200};
// With more threads than processors a spinning thread only keeps another one from its work.
constexpr std::chrono::microseconds kCrowdedSpin{2};
// How long the caller waits for a body that has begun elsewhere before it offers its core.
constexpr std::chrono::microseconds kPolite{20};
constexpr int kPausesBetweenLooks = 32;

inline void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb");  // "yield" does nothing on most processors
#else
  std::this_thread::yield();
#endif
}

/// Spins until ready() or `limit` has passed; returns ready().
template <typename Ready>
bool spin(std::chrono::microseconds limit, const Ready& ready) {
  if (ready()) return true;
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < kPausesBetweenLooks; ++i) {
      pause();
      if (ready()) return true;
    }
  } while (std::chrono::steady_clock::now() - start < limit);
  return ready();
}

}  // namespace

// A loop is a new generation. Whoever moves a worker's `claimed` to it runs that worker's body: the worker itself, or
// the caller, when it is done with its own before the worker has woken up. So a loop never waits for a thread that the
// system has not scheduled yet, only for bodies that have begun.
struct ThreadPool::State {
  struct alignas(64) Worker {
    std::atomic<uint64_t> claimed{0};
    std::thread thread;
  };

  /// Units (of `grain` iterations) that a thread has still to do: first in the high, end in the low 32 bits.
  struct alignas(64) Share {
    std::atomic<uint64_t> units{0};
  };

  explicit State(int worker_count)
      : workers(static_cast<size_t>(worker_count)), shares(static_cast<size_t>(worker_count) + 1) {}

  std::vector<Worker> workers;
  std::vector<Share> shares;
  std::chrono::microseconds spin_limit = kSpin;
  alignas(64) std::atomic<uint64_t> generation{0};
  std::atomic<bool> stop{false};
  void (*function)(void*, int) = nullptr;
  void* context = nullptr;
  alignas(64) std::atomic<int> pending{0};
  std::atomic<int> sleepers{0};
  alignas(64) int64_t count = 0;
  int64_t grain = 1;
  std::mutex mutex;
  std::condition_variable wake;
  std::mutex error_mutex;
  std::exception_ptr error;

  void call(int thread) {
    try {
      function(context, thread);
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      if (!error) error = std::current_exception();
    }
  }

  bool claim(Worker& worker, uint64_t wanted) {
    uint64_t last = worker.claimed.load(std::memory_order_relaxed);
    return last < wanted && worker.claimed.compare_exchange_strong(last, wanted, std::memory_order_acq_rel);
  }

  void work(int thread) {
    Worker& worker = workers[static_cast<size_t>(thread) - 1];
    uint64_t seen = 0;
    const auto changed = [&] { return generation.load(std::memory_order_acquire) != seen; };
    while (true) {
      if (!spin(spin_limit, changed)) {
        std::unique_lock lock(mutex);
        sleepers.fetch_add(1, std::memory_order_seq_cst);
        wake.wait(lock, [&] { return generation.load(std::memory_order_seq_cst) != seen; });
        sleepers.fetch_sub(1, std::memory_order_relaxed);
      }
      seen = generation.load(std::memory_order_acquire);
      if (stop) return;
      if (!claim(worker, seen)) continue;
      call(thread);
      pending.fetch_sub(1, std::memory_order_acq_rel);
    }
  }

  uint64_t publish() {
    const uint64_t next_generation = generation.load(std::memory_order_relaxed) + 1;
    generation.store(next_generation, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) > 0) {
      { const std::lock_guard lock(mutex); }  // a worker between its look and its wait gets there first
      wake.notify_all();
    }
    return next_generation;
  }
};

ThreadPool::ThreadPool(int threads) {
  if (threads <= 0) threads = physical_cores();
  state_ = std::make_unique<State>(threads - 1);
  if (threads > logical_processors()) state_->spin_limit = kCrowdedSpin;
  try {
    for (int i = 1; i < threads; ++i)
      state_->workers[static_cast<size_t>(i) - 1].thread = std::thread([s = state_.get(), i] { s->work(i); });
  } catch (const std::system_error& failure) {
    stop_workers();
    fail_limit("cannot start {} threads: {}", threads, failure.what());
  }
}

ThreadPool::~ThreadPool() { stop_workers(); }

void ThreadPool::stop_workers() {
  state_->stop = true;
  state_->publish();
  for (auto& worker : state_->workers)
    if (worker.thread.joinable()) worker.thread.join();
}

int ThreadPool::size() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::run_erased(void (*function)(void*, int), void* context) {
  State& s = *state_;
  s.function = function;
  s.context = context;
  s.error = nullptr;
  s.pending.store(static_cast<int>(s.workers.size()), std::memory_order_relaxed);
  const uint64_t generation = s.workers.empty() ? 0 : s.publish();
  s.call(0);
  for (size_t i = 0; i < s.workers.size(); ++i) {
    if (!s.claim(s.workers[i], generation)) continue;
    s.call(static_cast<int>(i) + 1);
    s.pending.fetch_sub(1, std::memory_order_relaxed);
  }
  const auto finished = [&] { return s.pending.load(std::memory_order_acquire) == 0; };
  while (!spin(kPolite, finished)) std::this_thread::yield();
  if (s.error) std::rethrow_exception(s.error);
}

void ThreadPool::begin_ranges(int64_t count, int64_t grain) {
  State& s = *state_;
  s.count = count;
  s.grain = std::max<int64_t>({1, grain, count >> 31});
  const int64_t units = (count + s.grain - 1) / s.grain;
  const auto threads = static_cast<int64_t>(s.shares.size());
  for (int64_t i = 0; i < threads; ++i) {
    const auto first = static_cast<uint64_t>(units * i / threads);
    const auto end = static_cast<uint64_t>(units * (i + 1) / threads);
    s.shares[static_cast<size_t>(i)].units.store(first << 32 | end, std::memory_order_relaxed);
  }
}

bool ThreadPool::next_range(int thread, int64_t& begin, int64_t& end) {
  State& s = *state_;
  const auto take = [&](uint64_t unit) {
    begin = static_cast<int64_t>(unit) * s.grain;
    end = std::min(begin + s.grain, s.count);
    return true;
  };
  constexpr uint64_t kLow = 0xffffffff;
  std::atomic<uint64_t>& own = s.shares[static_cast<size_t>(thread)].units;
  uint64_t units = own.load(std::memory_order_relaxed);
  while (units >> 32 < (units & kLow)) {
    if (own.compare_exchange_weak(units, units + (uint64_t{1} << 32), std::memory_order_relaxed))
      return take(units >> 32);
  }
  // The later half of what another thread has left. A share that is empty is written by its own thread alone.
  for (size_t i = 1; i < s.shares.size(); ++i) {
    std::atomic<uint64_t>& other = s.shares[(static_cast<size_t>(thread) + i) % s.shares.size()].units;
    units = other.load(std::memory_order_relaxed);
    while (units >> 32 < (units & kLow)) {
      const uint64_t first = units >> 32;
      const uint64_t last = units & kLow;
      const uint64_t kept = first + (last - first) / 2;
      if (!other.compare_exchange_weak(units, first << 32 | kept, std::memory_order_relaxed)) continue;
      own.store((kept + 1) << 32 | last, std::memory_order_relaxed);
      return take(kept);
    }
  }
  return false;
}

}  // namespace paro
