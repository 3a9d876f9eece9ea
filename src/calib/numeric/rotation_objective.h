// The expected rounding error of weights under rotations that are to be merged into them, and its gradient. Rotations
// are full orthogonal matrices here, not pairwise ones. Knows no model: what a term stands for is decided by the
// caller.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads.h"

namespace paro::calib {

/// Which side of a linear its rotation is on.
enum class RotatedSide {
  kInput,   // Y = W R: groups are g consecutive columns of Y, whose energies depend on R
  kOutput,  // Y = W^T R, the rows of X being the linear's inputs: groups are g consecutive rows with given energies
};

/// One weight: Y = X blockdiag(R_0, R_1, ...), X [rows, blocks n], where block b is rotated by R_(b / sharing) [n, n].
template <typename T>
struct RotatedTerm {
  RotatedSide side = RotatedSide::kInput;
  const T* x = nullptr;
  int64_t rows = 0;  // kOutput: a multiple of g
  int64_t blocks = 1;
  int64_t sharing = 1;
  const T* second_moment = nullptr;  // kInput: blocks of H = E[x x^T] of the linear's input, [blocks, n, n]
  std::vector<double> energy;        // kOutput: sum of diag(H) over each group, [rows / g]
  double weight = 1.0;
};

/// sum over terms of weight * sum_G E_G sum s^2, s = (max(y, 0) - min(y, 0)) / levels over the values y of a group in
/// one row (kInput) or column (kOutput) of Y, E_G = sum of diag(R^T H R) over the group (kInput) or `energy`. Source:
/// the same expected error as rotation_fit.h, for uniformly distributed rounding errors.
template <typename T>
class RotationObjective {
 public:
  /// Rotations are [count, n, n]; `group_size` divides the columns (kInput) or rows (kOutput) of every term.
  RotationObjective(int64_t n, int64_t count, int64_t group_size, double levels, ThreadPool& pool);

  /// The objective; `gradient` [count, n, n], unless null, becomes its derivative by the entries of the rotations (as
  /// if they were free). Where two values tie for an extreme, it is that of the first. The sums' order does not depend
  /// on the threads.
  double evaluate(std::span<const RotatedTerm<T>> terms, const T* rotations, T* gradient);

 private:
  /// What one term leaves for the gradient.
  struct Extremes {
    int64_t groups = 0;           // kInput: in a row; kOutput: in a column
    std::vector<double> energy;   // [groups]
    std::vector<int32_t> high;    // [lines, groups]: channel of the extreme, -1: it is 0
    std::vector<int32_t> low;     // the same
    std::vector<T> scale;         // [lines, groups]: s
    std::vector<double> squares;  // [groups]: sum of s^2
    std::vector<T> moved;         // kInput: H R, [blocks, n, n]
  };

  void prepare(const RotatedTerm<T>& term, Extremes& extremes) const;
  void find_energies(std::span<const RotatedTerm<T>> terms, const T* rotations);
  void find_extremes(std::span<const RotatedTerm<T>> terms, const T* rotations);
  void find_rows(const RotatedTerm<T>& term, Extremes& extremes, const T* y, int64_t begin, int64_t end) const;
  void find_columns(const RotatedTerm<T>& term, Extremes& extremes, const T* y, int64_t begin, int64_t end) const;
  void add_weights(std::span<const RotatedTerm<T>> terms, int64_t rotation, int64_t begin, int64_t end);
  void add_energies(std::span<const RotatedTerm<T>> terms, T* gradient) const;
  int64_t tile_rows() const;

  int64_t n_;
  int64_t count_;
  int64_t group_size_;
  double levels_;
  ThreadPool& pool_;
  std::vector<Extremes> extremes_;     // of each term
  std::vector<std::vector<T>> tiles_;  // of each thread
  std::vector<T> transposed_;          // gradient of the extremes, [count, n, n] transposed
};

extern template class RotationObjective<float>;
extern template class RotationObjective<double>;

}  // namespace paro::calib
