#include "calib/mpi/mpi_processes.h"

#include <mpi.h>

#include <algorithm>
#include <cstdint>
#include <exception>

#include "base/error.h"

namespace paro::calib {
namespace {

// MPI counts in int.
constexpr size_t kMostAtOnce = size_t{1} << 27;

void check(int result, const char* what) {
  if (result == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(result, text, &length);
  fail_limit("MPI: {} failed: {}", what, std::string(text, static_cast<size_t>(length)));
}

class MpiProcesses : public Processes {
 public:
  MpiProcesses() : exceptions_(std::uncaught_exceptions()) {
    int provided = 0;
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "starting");
    if (provided < MPI_THREAD_FUNNELED) fail_limit("MPI: expected a library that allows threads (MPI_THREAD_FUNNELED)");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    MPI_Comm local = MPI_COMM_NULL;
    check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &local), "finding machines");
    MPI_Comm_rank(local, &local_rank_);
    MPI_Comm_free(&local);
  }
  ~MpiProcesses() override {
    if (std::uncaught_exceptions() == exceptions_) MPI_Finalize();
  }
  MpiProcesses(const MpiProcesses&) = delete;
  MpiProcesses& operator=(const MpiProcesses&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }

  void sum(std::span<double> values) override {
    // Reduced in one place and sent round: MPI_Allreduce need not give every process the same bits.
    in_pieces(values.size(), [&](size_t first, int count) {
      double* piece = values.data() + first;
      check(MPI_Reduce(rank_ == 0 ? MPI_IN_PLACE : piece, piece, count, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD),
            "adding up");
      check(MPI_Bcast(piece, count, MPI_DOUBLE, 0, MPI_COMM_WORLD), "sending a sum");
    });
  }

  void broadcast(std::vector<std::byte>& bytes) override {
    uint64_t size = bytes.size();
    check(MPI_Bcast(&size, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD), "sending");
    bytes.resize(size);
    in_pieces(bytes.size(), [&](size_t first, int count) {
      check(MPI_Bcast(bytes.data() + first, count, MPI_BYTE, 0, MPI_COMM_WORLD), "sending");
    });
  }

  std::vector<std::byte> gather(std::span<const std::byte> part) override {
    std::vector<uint64_t> sizes(static_cast<size_t>(size_));
    const uint64_t size = part.size();
    check(MPI_Allgather(&size, 1, MPI_UINT64_T, sizes.data(), 1, MPI_UINT64_T, MPI_COMM_WORLD), "gathering");
    uint64_t total = 0;
    for (const uint64_t one : sizes) total += one;
    std::vector<std::byte> all(total);
    std::byte* at = all.data();
    for (int from = 0; from < size_; ++from) {
      const size_t bytes = sizes[static_cast<size_t>(from)];
      if (from == rank_) std::copy(part.begin(), part.end(), at);
      in_pieces(bytes, [&](size_t first, int count) {
        check(MPI_Bcast(at + first, count, MPI_BYTE, from, MPI_COMM_WORLD), "gathering");
      });
      at += bytes;
    }
    return all;
  }

 private:
  template <typename Use>
  static void in_pieces(size_t count, const Use& use) {
    for (size_t first = 0; first < count; first += kMostAtOnce)
      use(first, static_cast<int>(std::min(kMostAtOnce, count - first)));
  }

  int exceptions_;
  int rank_ = 0;
  int size_ = 1;
  int local_rank_ = 0;
};

}  // namespace

std::unique_ptr<Processes> make_mpi_processes() { return std::make_unique<MpiProcesses>(); }

}  // namespace paro::calib
