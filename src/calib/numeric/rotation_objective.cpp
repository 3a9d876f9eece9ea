#include "calib/numeric/rotation_objective.h"

#include <algorithm>

#include "base/error.h"
#include "calib/numeric/blas.h"

namespace paro::calib {
namespace {

// Rows of a tile of Y, at least one group of them; columns of the gradient that a task adds to, so that they stay in
// the second-level cache.
constexpr int64_t kTile = 128;
constexpr int64_t kSlice = 128;
constexpr int64_t kCombinedRows = 16;

/// One tile of one term.
struct Task {
  size_t term;
  int64_t begin;
  int64_t end;
};

template <typename T>
int64_t columns_of(const RotatedTerm<T>& term, int64_t n) {
  return term.blocks * n;
}

/// First place of `value` among count values `stride` apart.
template <typename T>
int64_t place_of(const T* values, int64_t count, int64_t stride, T value) {
  for (int64_t i = 0; i < count; ++i)
    if (values[i * stride] == value) return i;
  return 0;
}

}  // namespace

template <typename T>
RotationObjective<T>::RotationObjective(int64_t n, int64_t count, int64_t group_size, double levels, ThreadPool& pool)
    : n_(n),
      count_(count),
      group_size_(group_size),
      levels_(levels),
      pool_(pool),
      tiles_(static_cast<size_t>(pool.size())),
      transposed_(static_cast<size_t>(count * n * n)) {}

template <typename T>
int64_t RotationObjective<T>::tile_rows() const {
  return std::max<int64_t>(1, kTile / group_size_) * group_size_;
}

template <typename T>
double RotationObjective<T>::evaluate(std::span<const RotatedTerm<T>> terms, const T* rotations, T* gradient) {
  extremes_.resize(terms.size());
  for (size_t i = 0; i < terms.size(); ++i) prepare(terms[i], extremes_[i]);
  find_energies(terms, rotations);
  find_extremes(terms, rotations);
  double loss = 0.0;
  for (size_t i = 0; i < terms.size(); ++i) {
    Extremes& e = extremes_[i];
    const int64_t lines = static_cast<int64_t>(e.scale.size()) / std::max<int64_t>(1, e.groups);
    e.squares.assign(static_cast<size_t>(e.groups), 0.0);
    for (int64_t line = 0; line < lines; ++line)
      for (int64_t group = 0; group < e.groups; ++group) {
        const auto s = static_cast<double>(e.scale[static_cast<size_t>(line * e.groups + group)]);
        e.squares[static_cast<size_t>(group)] += s * s;
      }
    for (int64_t group = 0; group < e.groups; ++group)
      loss += terms[i].weight * e.energy[static_cast<size_t>(group)] * e.squares[static_cast<size_t>(group)];
  }
  if (gradient == nullptr) return loss;
  std::fill(transposed_.begin(), transposed_.end(), T{0});
  const int64_t slices = (n_ + kSlice - 1) / kSlice;
  pool_.parallel_for(count_ * slices, 1, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t begin = task % slices * kSlice;
      add_weights(terms, task / slices, begin, std::min(begin + kSlice, n_));
    }
  });
  add_energies(terms, gradient);
  return loss;
}

template <typename T>
void RotationObjective<T>::prepare(const RotatedTerm<T>& term, Extremes& extremes) const {
  const bool input = term.side == RotatedSide::kInput;
  const int64_t columns = columns_of(term, n_);
  const int64_t grouped = input ? columns : term.rows;
  PARO_CHECK(grouped % group_size_ == 0 && term.blocks <= count_ * term.sharing);
  extremes.groups = grouped / group_size_;
  const int64_t lines = input ? term.rows : columns;
  const auto entries = static_cast<size_t>(lines * extremes.groups);
  extremes.high.resize(entries);
  extremes.low.resize(entries);
  extremes.scale.resize(entries);
  extremes.energy.assign(static_cast<size_t>(extremes.groups), 0.0);
  if (!input) {
    PARO_CHECK(term.energy.size() == extremes.energy.size());
    extremes.energy = term.energy;
  }
  extremes.moved.resize(input ? static_cast<size_t>(columns * n_) : 0);
}

template <typename T>
void RotationObjective<T>::find_energies(std::span<const RotatedTerm<T>> terms, const T* rotations) {
  std::vector<Task> tasks;  // rows of all blocks, one block after another
  for (size_t i = 0; i < terms.size(); ++i)
    for (int64_t block = 0; terms[i].side == RotatedSide::kInput && block < terms[i].blocks; ++block)
      for (int64_t row = 0; row < n_; row += kTile)
        tasks.push_back({i, block * n_ + row, block * n_ + std::min(row + kTile, n_)});
  pool_.parallel_for(std::ssize(tasks), 1, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      const Task& task = tasks[static_cast<size_t>(t)];
      const RotatedTerm<T>& term = terms[task.term];
      gemm(false, false, task.end - task.begin, n_, n_, T{1}, term.second_moment + task.begin * n_, n_,
           rotations + task.begin / n_ / term.sharing * n_ * n_, n_, T{0},
           extremes_[task.term].moved.data() + task.begin * n_, n_);
    }
  });
  for (size_t i = 0; i < terms.size(); ++i) {
    if (terms[i].side != RotatedSide::kInput) continue;
    Extremes& e = extremes_[i];
    for (int64_t row = 0; row < terms[i].blocks * n_; ++row) {
      const int64_t block = row / n_;
      const T* r = rotations + (block / terms[i].sharing * n_ + row % n_) * n_;
      const T* moved = e.moved.data() + row * n_;
      for (int64_t j = 0; j < n_; ++j)
        e.energy[static_cast<size_t>((block * n_ + j) / group_size_)] += static_cast<double>(r[j] * moved[j]);
    }
  }
}

template <typename T>
void RotationObjective<T>::find_extremes(std::span<const RotatedTerm<T>> terms, const T* rotations) {
  std::vector<Task> tasks;
  for (size_t i = 0; i < terms.size(); ++i)
    for (int64_t row = 0; row < terms[i].rows; row += tile_rows())
      tasks.push_back({i, row, std::min(row + tile_rows(), terms[i].rows)});
  pool_.parallel_for(std::ssize(tasks), 1, [&](int64_t first, int64_t last, int thread) {
    std::vector<T>& y = tiles_[static_cast<size_t>(thread)];
    for (int64_t t = first; t < last; ++t) {
      const Task& task = tasks[static_cast<size_t>(t)];
      const RotatedTerm<T>& term = terms[task.term];
      const int64_t columns = columns_of(term, n_);
      y.resize(std::max(y.size(), static_cast<size_t>(tile_rows() * columns)));
      for (int64_t block = 0; block < term.blocks; ++block)
        gemm(false, false, task.end - task.begin, n_, n_, T{1}, term.x + task.begin * columns + block * n_, columns,
             rotations + block / term.sharing * n_ * n_, n_, T{0}, y.data() + block * n_, columns);
      if (term.side == RotatedSide::kInput)
        find_rows(term, extremes_[task.term], y.data(), task.begin, task.end);
      else
        find_columns(term, extremes_[task.term], y.data(), task.begin, task.end);
    }
  });
}

template <typename T>
void RotationObjective<T>::find_rows(const RotatedTerm<T>& term, Extremes& extremes, const T* y, int64_t begin,
                                     int64_t end) const {
  // Partial extremes that fill vector registers.
  constexpr int64_t kLanes = 8;
  const int64_t columns = columns_of(term, n_);
  for (int64_t row = begin; row < end; ++row)
    for (int64_t group = 0; group < extremes.groups; ++group) {
      const T* values = y + (row - begin) * columns + group * group_size_;
      T highs[kLanes] = {};
      T lows[kLanes] = {};
      for (int64_t i = 0; i + kLanes <= group_size_; i += kLanes)
        for (int64_t l = 0; l < kLanes; ++l) {
          highs[l] = values[i + l] > highs[l] ? values[i + l] : highs[l];
          lows[l] = values[i + l] < lows[l] ? values[i + l] : lows[l];
        }
      const T high = *std::max_element(highs, highs + kLanes);
      const T low = *std::min_element(lows, lows + kLanes);
      const auto at = static_cast<size_t>(row * extremes.groups + group);
      const auto channel = [&](T value) {
        return static_cast<int32_t>(group * group_size_ + place_of(values, group_size_, 1, value));
      };
      extremes.scale[at] = (high - low) / static_cast<T>(levels_);
      extremes.high[at] = high > 0 ? channel(high) : -1;
      extremes.low[at] = low < 0 ? channel(low) : -1;
    }
}

template <typename T>
void RotationObjective<T>::find_columns(const RotatedTerm<T>& term, Extremes& extremes, const T* y, int64_t begin,
                                        int64_t end) const {
  const int64_t columns = columns_of(term, n_);
  std::vector<T> highs(static_cast<size_t>(columns));
  std::vector<T> lows(static_cast<size_t>(columns));
  for (int64_t first = begin; first < end; first += group_size_) {
    const T* values = y + (first - begin) * columns;
    std::fill(highs.begin(), highs.end(), T{0});
    std::fill(lows.begin(), lows.end(), T{0});
    T* high = highs.data();
    T* low = lows.data();
    for (int64_t r = 0; r < group_size_; ++r)
      for (int64_t c = 0; c < columns; ++c) {
        const T value = values[r * columns + c];
        high[c] = value > high[c] ? value : high[c];
        low[c] = value < low[c] ? value : low[c];
      }
    for (int64_t c = 0; c < columns; ++c) {
      const auto at = static_cast<size_t>(c * extremes.groups + first / group_size_);
      const auto channel = [&](T value) {
        return static_cast<int32_t>(first + place_of(values + c, group_size_, columns, value));
      };
      extremes.scale[at] = (high[c] - low[c]) / static_cast<T>(levels_);
      extremes.high[at] = high[c] > 0 ? channel(high[c]) : -1;
      extremes.low[at] = low[c] < 0 ? channel(low[c]) : -1;
    }
  }
}

/// Columns [begin, end) of the transposed gradient of one rotation. d s / d y is +1 / levels at the highest value and
/// -1 / levels at the lowest, and y in column c of row r of Y is x_r R_c: each extreme adds a multiple of a row of X.
template <typename T>
void RotationObjective<T>::add_weights(std::span<const RotatedTerm<T>> terms, int64_t rotation, int64_t begin,
                                       int64_t end) {
  T* const slope = transposed_.data() + rotation * n_ * n_;
  const int64_t width = end - begin;
  for (size_t i = 0; i < terms.size(); ++i) {
    const RotatedTerm<T>& term = terms[i];
    const Extremes& e = extremes_[i];
    const int64_t columns = columns_of(term, n_);
    const bool input = term.side == RotatedSide::kInput;
    const auto add = [&](int64_t line, int32_t channel, T factor) {
      if (channel < 0) return;
      const int64_t row = input ? line : channel;
      const int64_t column = input ? channel : line;
      const int64_t block = column / n_;
      if (block / term.sharing != rotation) return;
      const T* from = term.x + row * columns + block * n_ + begin;
      T* to = slope + (column - block * n_) * n_ + begin;
      for (int64_t k = 0; k < width; ++k) to[k] += factor * from[k];
    };
    const int64_t lines = input ? term.rows : columns;
    for (int64_t line = 0; line < lines; ++line)
      for (int64_t group = 0; group < e.groups; ++group) {
        const auto at = static_cast<size_t>(line * e.groups + group);
        const T factor =
            static_cast<T>(2.0 * term.weight * e.energy[static_cast<size_t>(group)] / levels_) * e.scale[at];
        add(line, e.high[at], factor);
        add(line, e.low[at], -factor);
      }
  }
}

/// gradient = what add_weights left, and d E_G / d R = 2 H R in the columns of the group.
template <typename T>
void RotationObjective<T>::add_energies(std::span<const RotatedTerm<T>> terms, T* gradient) const {
  pool_.parallel_for(count_ * n_, kCombinedRows, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const int64_t rotation = row / n_;
      const T* slope = transposed_.data() + rotation * n_ * n_ + row % n_;
      T* to = gradient + row * n_;
      for (int64_t j = 0; j < n_; ++j) to[j] = slope[j * n_];
      for (size_t i = 0; i < terms.size(); ++i) {
        const RotatedTerm<T>& term = terms[i];
        if (term.side != RotatedSide::kInput) continue;
        const Extremes& e = extremes_[i];
        const int64_t last_block = std::min((rotation + 1) * term.sharing, term.blocks);
        for (int64_t block = rotation * term.sharing; block < last_block; ++block) {
          const T* moved = e.moved.data() + (block * n_ + row % n_) * n_;
          for (int64_t j = 0; j < n_; ++j)
            to[j] +=
                static_cast<T>(2.0 * term.weight * e.squares[static_cast<size_t>((block * n_ + j) / group_size_)]) *
                moved[j];
        }
      }
    }
  });
}

template class RotationObjective<float>;
template class RotationObjective<double>;

}  // namespace paro::calib
