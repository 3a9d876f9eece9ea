// A pool of worker threads for data-parallel loops. One loop at a time; loops do not nest. Made for loops of
// microseconds: an empty run() of a busy pool costs well under one; a pool without work sleeps after 0.2 ms. Threads
// are not pinned to cores: on two virtual ones, six alternations showed no difference, and the pool is not alone there.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace paro {

class ThreadPool {
 public:
  /// `threads` counts the calling thread; 0 means physical_cores(). Error{kLimit} when the system refuses.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;

  /// Calls body(thread) once for each thread 0..size()-1, the caller being thread 0; returns when all are done. A body
  /// whose thread has not started when the caller is done with its own is run by the caller, too.
  /// The first exception thrown by a body is rethrown here. Allocates nothing.
  template <typename Body>
  void run(Body&& body) {
    run_erased([](void* context, int thread) { (*static_cast<std::remove_reference_t<Body>*>(context))(thread); },
               const_cast<void*>(static_cast<const void*>(&body)));
  }

  /// Calls body(begin, end) on disjoint ranges that cover [0, count), each `grain` long (more only beyond 2^31 of them)
  /// but the last. Each thread goes through a contiguous share in order, because memory read as one long stream comes
  /// much faster (1.5 times on two cores) than in pieces dealt out in turn; who is done takes half of another's rest.
  /// A body that takes body(begin, end, thread) also learns which thread it runs on, for scratch memory of its own.
  template <typename Body>
  void parallel_for(int64_t count, int64_t grain, Body&& body) {
    const auto call = [&](int64_t begin, int64_t end, int thread) {
      if constexpr (std::is_invocable_v<Body&, int64_t, int64_t, int>)
        body(begin, end, thread);
      else
        body(begin, end);
    };
    if (count <= 0) return;
    if (size() == 1 || count <= grain) return call(0, count, 0);
    begin_ranges(count, grain);
    run([&](int thread) {
      int64_t begin = 0;
      int64_t end = 0;
      while (next_range(thread, begin, end)) call(begin, end, thread);
    });
  }

 private:
  struct State;
  void stop_workers();
  void run_erased(void (*function)(void*, int), void* context);
  void begin_ranges(int64_t count, int64_t grain);
  bool next_range(int thread, int64_t& begin, int64_t& end);
  std::unique_ptr<State> state_;
};

}  // namespace paro
