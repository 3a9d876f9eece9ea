#include "base/threads.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/cpu.h"
#include "base/error.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace paro {
namespace {

// Between two layers the next loop comes within microseconds: a short spin saves the two context switches, and a
// sleeping pool burns nothing between requests.
constexpr int kSpins = 20000;

inline void pause() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

}  // namespace

struct ThreadPool::State {
  std::vector<std::thread> workers;
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<uint64_t> generation{0};
  std::atomic<int> pending{0};
  std::atomic<bool> stop{false};
  void (*function)(void*, int) = nullptr;
  void* context = nullptr;
  std::exception_ptr error;
  std::mutex error_mutex;
  std::atomic<int64_t> next{0};
  int64_t count = 0;
  int64_t grain = 1;

  void call(int thread) {
    try {
      function(context, thread);
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      if (!error) error = std::current_exception();
    }
  }

  void work(int thread) {
    uint64_t seen = 0;
    while (true) {
      for (int i = 0; i < kSpins && generation.load(std::memory_order_acquire) == seen; ++i) pause();
      if (generation.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return generation.load(std::memory_order_acquire) != seen; });
      }
      seen = generation.load(std::memory_order_acquire);
      if (stop) return;
      call(thread);
      pending.fetch_sub(1, std::memory_order_acq_rel);
    }
  }

  void publish() {
    {
      const std::lock_guard lock(mutex);
      generation.fetch_add(1, std::memory_order_acq_rel);
    }
    wake.notify_all();
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  if (threads <= 0) threads = physical_cores();
  for (int i = 1; i < threads; ++i) state_->workers.emplace_back([s = state_.get(), i] { s->work(i); });
}

ThreadPool::~ThreadPool() {
  state_->stop = true;
  state_->publish();
  for (auto& worker : state_->workers) worker.join();
}

int ThreadPool::size() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::run_erased(void (*function)(void*, int), void* context) {
  State& s = *state_;
  s.function = function;
  s.context = context;
  s.error = nullptr;
  if (!s.workers.empty()) {
    s.pending.store(static_cast<int>(s.workers.size()), std::memory_order_release);
    s.publish();
  }
  s.call(0);
  for (int i = 0; s.pending.load(std::memory_order_acquire) != 0; ++i) {
    if (i < kSpins)
      pause();
    else
      std::this_thread::yield();
  }
  if (s.error) std::rethrow_exception(s.error);
}

void ThreadPool::begin_ranges(int64_t count, int64_t grain) {
  state_->count = count;
  state_->grain = grain < 1 ? 1 : grain;
  state_->next.store(0, std::memory_order_release);
}

bool ThreadPool::next_range(int64_t& begin, int64_t& end) {
  begin = state_->next.fetch_add(state_->grain, std::memory_order_relaxed);
  if (begin >= state_->count) return false;
  end = std::min(begin + state_->grain, state_->count);
  return true;
}

}  // namespace paro
