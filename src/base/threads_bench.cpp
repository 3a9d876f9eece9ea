// What a parallel loop costs: empty loops one after the other, and after a pause in which the pool falls asleep.
#include <benchmark/benchmark.h>

#include <chrono>
#include <thread>

#include "base/threads.h"

namespace paro {
namespace {

void empty_run(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  for (auto _ : state) pool.run([](int thread) { benchmark::DoNotOptimize(thread); });
}
BENCHMARK(empty_run)->Arg(1)->Arg(2)->Arg(3)->Arg(8)->UseRealTime();

void run_after_sleep(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    const auto start = std::chrono::steady_clock::now();
    pool.run([](int thread) { benchmark::DoNotOptimize(thread); });
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
}
BENCHMARK(run_after_sleep)->Arg(2)->UseManualTime()->Iterations(200);

/// Two threads with 10 us of work each: what the loop adds.
void work_10us(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    pool.run([](int) {
      const auto start = std::chrono::steady_clock::now();
      while (std::chrono::steady_clock::now() - start < std::chrono::microseconds(10)) {
      }
    });
  }
}
BENCHMARK(work_10us)->Arg(1)->Arg(2)->Arg(4)->UseRealTime();

}  // namespace
}  // namespace paro
