#include "base/threads.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

namespace paro {
namespace {

TEST(ThreadPool, RunCallsEveryThreadOnce) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    ASSERT_EQ(pool.size(), threads);
    std::vector<std::atomic<int>> calls(static_cast<size_t>(threads));
    for (int i = 0; i < 2000; ++i) pool.run([&](int thread) { calls[static_cast<size_t>(thread)]++; });
    for (auto& count : calls) EXPECT_EQ(count, 2000);
  }
}

TEST(ThreadPool, RangesCoverEverythingOnce) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (int64_t count : {0, 1, 2, 7, 64, 1000}) {
      for (int64_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) seen[static_cast<size_t>(i)]++;
        });
        for (auto& n : seen) ASSERT_EQ(n, 1);
      }
    }
  }
}

TEST(ThreadPool, RangesTellTheirThreadAndUnevenWorkIsShared) {
  ThreadPool pool(3);
  std::vector<std::atomic<int>> calls(1000);
  std::vector<std::atomic<int>> inside(3);
  for (int round = 0; round < 20; ++round) {
    pool.parallel_for(1000, 1, [&](int64_t begin, int64_t end, int thread) {
      ASSERT_TRUE(thread >= 0 && thread < 3);
      EXPECT_EQ(inside[static_cast<size_t>(thread)].fetch_add(1), 0)
          << "two bodies with the scratch memory of one thread";
      // The first share is much slower than the others: its rest goes to them.
      if (begin < 333 && begin % 10 == 0) std::this_thread::sleep_for(std::chrono::microseconds(20));
      for (int64_t i = begin; i < end; ++i) calls[static_cast<size_t>(i)].fetch_add(1);
      inside[static_cast<size_t>(thread)].fetch_sub(1);
    });
  }
  for (const auto& count : calls) EXPECT_EQ(count.load(), 20);
}

TEST(ThreadPool, ResultsAreVisibleAndExceptionsCome) {
  ThreadPool pool(3);
  std::vector<int64_t> values(1000);
  for (int round = 0; round < 200; ++round) {
    pool.parallel_for(1000, 10, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) values[static_cast<size_t>(i)] = i * round;
    });
    ASSERT_EQ(std::accumulate(values.begin(), values.end(), int64_t{0}), 499500 * round);
  }
  for (int thrower : {0, 1, 2}) {
    EXPECT_THROW(pool.run([&](int thread) {
      if (thread == thrower) throw std::runtime_error("expected");
    }),
                 std::runtime_error);
    std::atomic<int> calls{0};
    pool.run([&](int) { calls++; });  // still whole
    EXPECT_EQ(calls, 3);
  }
}

TEST(ThreadPool, WakesAfterSleeping) {
  ThreadPool pool(2);
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::atomic<int> calls{0};
    pool.run([&](int) { calls++; });
    ASSERT_EQ(calls, 2);
  }
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

TEST(ThreadPool, IdlePoolBurnsNothing) {
  ThreadPool pool(4);
  pool.run([](int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(cpu_seconds() - before, 0.02);
}

// Far more threads than cores, and the cores busy: the caller does what sleeping threads would, nothing stalls.
TEST(ThreadPool, OversubscribedPoolsDoNotStall) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> busy;
  for (int i = 0; i < 4; ++i)
    busy.emplace_back([&] {
      while (!stop) {
      }
    });
  ThreadPool pool(16);
  std::atomic<int64_t> total{0};
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 50; ++i) pool.run([&](int thread) { total += thread; });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  stop = true;
  for (auto& thread : busy) thread.join();
  EXPECT_EQ(total, 50 * 120);
  EXPECT_LT(took.count(), 5.0);
}

}  // namespace
}  // namespace paro
