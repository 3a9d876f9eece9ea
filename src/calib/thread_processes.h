// For tests: threads in the place of processes.
#pragma once

#include <atomic>
#include <barrier>
#include <exception>
#include <functional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "calib/processes.h"

namespace paro::calib {

class ThreadProcesses : public Processes {
 public:
  struct Room {
    explicit Room(int size) : barrier(size), doubles(static_cast<size_t>(size)), bytes(static_cast<size_t>(size)) {}
    std::barrier<> barrier;
    std::atomic<bool> left = false;  // one of them has
    std::vector<std::vector<double>> doubles;
    std::vector<std::vector<std::byte>> bytes;
  };
  /// What the others get who wait for one that has left; processes would be stopped by their launcher.
  struct Left : std::runtime_error {
    Left() : std::runtime_error("another process has left") {}
  };

  ThreadProcesses(Room& room, int rank) : room_(room), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(room_.bytes.size()); }
  int local_rank() const override { return rank_; }
  void sum(std::span<double> values) override {
    room_.doubles[static_cast<size_t>(rank_)].assign(values.begin(), values.end());
    meet();
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = 0.0;
      for (const auto& of_one : room_.doubles) values[i] += of_one.at(i);
    }
    meet();
  }
  void broadcast(std::vector<std::byte>& bytes) override {
    if (rank_ == 0) room_.bytes[0] = bytes;
    meet();
    bytes = room_.bytes[0];
    meet();
  }
  std::vector<std::byte> gather(std::span<const std::byte> part) override {
    room_.bytes[static_cast<size_t>(rank_)].assign(part.begin(), part.end());
    meet();
    std::vector<std::byte> all;
    for (const auto& of_one : room_.bytes) all.insert(all.end(), of_one.begin(), of_one.end());
    meet();
    return all;
  }

 private:
  void meet() {
    room_.barrier.arrive_and_wait();
    if (room_.left) throw Left();
  }

  Room& room_;
  int rank_;
};

/// Runs `body` in `size` of them. Afterwards rethrows what process 0 threw, else what another one did.
inline void run_processes(int size, const std::function<void(Processes&)>& body) {
  ThreadProcesses::Room room(size);
  std::vector<std::exception_ptr> thrown(static_cast<size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      ThreadProcesses processes(room, rank);
      try {
        body(processes);
      } catch (...) {
        thrown[static_cast<size_t>(rank)] = std::current_exception();
        room.left = true;
        room.barrier.arrive_and_drop();
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& exception : thrown)
    if (exception) std::rethrow_exception(exception);
}

}  // namespace paro::calib
