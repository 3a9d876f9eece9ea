// The processes that quantize one model together, each with its share of the calibration windows; one of them is what
// remains without MPI (mpi/mpi_processes.h).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace paro::calib {

/// Every process makes the same calls in the same order, from one thread; each returns when all have made it.
class Processes {
 public:
  virtual ~Processes() = default;
  virtual int rank() const = 0;  // 0 to size() - 1; 0 writes the checkpoint
  virtual int size() const = 0;
  /// Among the processes of its machine: which of the machine's GPUs is its own.
  virtual int local_rank() const = 0;
  /// Each value becomes the sum of all processes' values: the same bits in every process.
  virtual void sum(std::span<double> values) = 0;
  /// Process 0's bytes to all others, whatever those had.
  virtual void broadcast(std::vector<std::byte>& bytes) = 0;
  /// The parts of all processes by rank, one behind the other, in every process.
  virtual std::vector<std::byte> gather(std::span<const std::byte> part) = 0;
};

class OneProcess : public Processes {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int local_rank() const override { return 0; }
  void sum(std::span<double>) override {}
  void broadcast(std::vector<std::byte>&) override {}
  std::vector<std::byte> gather(std::span<const std::byte> part) override { return {part.begin(), part.end()}; }
};

}  // namespace paro::calib
