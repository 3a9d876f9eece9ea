#include "calib/numeric/rounding.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace paro::calib {
namespace {

/// The work of rounding one weight: everything transposed, rows padded to whole tiles.
class Rounder {
 public:
  Rounder(const std::vector<float>& w_transposed, int64_t out, const RoundOptions& options, const Kernels& kernels,
          ThreadPool& pool)
      : options_(options),
        kernels_(kernels),
        pool_(pool),
        out_(out),
        in_(static_cast<int64_t>(w_transposed.size()) / out),
        rows_((out + kTileRows - 1) / kTileRows * kTileRows),
        groups_(in_ / options.group_size),
        levels_(static_cast<float>(options.levels)),
        weight_(static_cast<size_t>(in_ * rows_)),
        codes_(static_cast<size_t>(in_ * rows_)),
        quantizers_(static_cast<size_t>(groups_ * rows_ / kTileRows)) {
    PARO_CHECK(in_ % options.group_size == 0 && options.group_size <= kMaxGroup);
    for (int64_t i = 0; i < in_; ++i) std::copy_n(w_transposed.begin() + i * out_, out_, weight_.begin() + i * rows_);
  }

  void nearest() {
    for_tiles([&](int64_t tile) {
      alignas(64) float x[kMaxGroup * kTileRows];
      alignas(64) float errors[kMaxGroup * kTileRows];
      // With the identity for U, rounding column by column pushes no error anywhere.
      std::vector<float> identity(static_cast<size_t>(g() * g()));
      for (int64_t c = 0; c < g(); ++c) identity[static_cast<size_t>(c * g() + c)] = 1.0f;
      for (int64_t group = 0; group < groups_; ++group) {
        load(weight_, group, tile, x);
        kernels_.choose_range(x, g(), levels_, false, nullptr, &quantizer(group, tile));
        round_block(group, tile, x, identity.data(), g(), errors);
      }
    });
  }

  void gptq(const SquareMatrix& u) {
    std::vector<float> factor(u.data.begin(), u.data.end());
    std::vector<float> work = weight_;
    std::vector<float> errors(static_cast<size_t>(g() * rows_));
    std::vector<float> column_weight(static_cast<size_t>(g()));
    for (int64_t group = 0; group < groups_; ++group) {
      const int64_t first = group * g();
      const float* block = factor.data() + first * in_ + first;
      for (int64_t c = 0; c < g(); ++c) {
        const float pivot = block[c * in_ + c];
        column_weight[static_cast<size_t>(c)] = 1.0f / (pivot * pivot);
      }
      for_tiles([&](int64_t tile) {
        alignas(64) float x[kMaxGroup * kTileRows];
        alignas(64) float tile_errors[kMaxGroup * kTileRows];
        load(work, group, tile, x);
        kernels_.choose_range(x, g(), levels_, options_.clip, column_weight.data(), &quantizer(group, tile));
        round_block(group, tile, x, block, in_, tile_errors);
        for (int64_t c = 0; c < g(); ++c)
          std::copy_n(tile_errors + c * kTileRows, kTileRows, errors.data() + c * rows_ + tile * kTileRows);
      });
      const int64_t rest = in_ - first - g();
      if (rest > 0)
        gemm(true, false, rest, rows_, g(), -1.0f, block + g(), in_, errors.data(), rows_, 1.0f,
             work.data() + (first + g()) * rows_, rows_);
    }
  }

  void descend(const std::vector<float>& h) {
    const std::vector<float> error = errors();
    std::vector<float> slope(error.size());
    gemm(false, false, in_, rows_, in_, 1.0f, h.data(), in_, error.data(), rows_, 0.0f, slope.data(), rows_);
    std::vector<float> change(static_cast<size_t>(g() * rows_));
    for (int64_t sweep = 0; sweep < options_.sweeps; ++sweep)
      for (int64_t group = 0; group < groups_; ++group) {
        const int64_t first = group * g();
        for_tiles([&](int64_t tile) {
          alignas(64) float x[kMaxGroup * kTileRows];
          alignas(64) float delta[kMaxGroup * kTileRows];
          alignas(64) uint8_t codes[kMaxGroup * kTileRows];
          load(slope, group, tile, x);
          load(codes_, group, tile, codes);
          kernels_.descent_tile(x, g(), levels_, h.data() + first * in_ + first, in_, quantizer(group, tile), codes,
                                delta);
          store(codes, group, tile, codes_);
          for (int64_t c = 0; c < g(); ++c)
            std::copy_n(delta + c * kTileRows, kTileRows, change.data() + c * rows_ + tile * kTileRows);
        });
        gemm(true, false, in_, rows_, g(), 1.0f, h.data() + first * in_, in_, change.data(), rows_, 1.0f, slope.data(),
             rows_);
      }
  }

  /// value - weight, [in, rows].
  std::vector<float> errors() const {
    std::vector<float> result(weight_.size());
    for (int64_t i = 0; i < in_; ++i)
      for (int64_t r = 0; r < rows_; ++r) {
        const TileQuantizer& q = quantizers_[static_cast<size_t>(i / g() * (rows_ / kTileRows) + r / kTileRows)];
        const size_t at = static_cast<size_t>(i * rows_ + r);
        result[at] = (static_cast<float>(codes_[at]) - q.zero[r % kTileRows]) * q.scale[r % kTileRows] - weight_[at];
      }
    return result;
  }

  Rounded result() const {
    Rounded rounded;
    rounded.codes.resize(static_cast<size_t>(out_ * in_));
    rounded.zeros.resize(static_cast<size_t>(out_ * groups_));
    rounded.scales.resize(rounded.zeros.size());
    for (int64_t o = 0; o < out_; ++o) {
      for (int64_t i = 0; i < in_; ++i)
        rounded.codes[static_cast<size_t>(o * in_ + i)] = codes_[static_cast<size_t>(i * rows_ + o)];
      for (int64_t group = 0; group < groups_; ++group) {
        const TileQuantizer& q = quantizers_[static_cast<size_t>(group * (rows_ / kTileRows) + o / kTileRows)];
        const float scale = q.scale[o % kTileRows];
        if (!std::isfinite(scale)) fail_input("a scale does not fit into F16 (row {}, group {})", o, group);
        rounded.scales[static_cast<size_t>(o * groups_ + group)] = scale;
        rounded.zeros[static_cast<size_t>(o * groups_ + group)] = static_cast<uint8_t>(q.zero[o % kTileRows]);
      }
    }
    return rounded;
  }

  int64_t rows() const { return rows_; }
  const std::vector<float>& weight() const { return weight_; }

 private:
  int64_t g() const { return options_.group_size; }
  TileQuantizer& quantizer(int64_t group, int64_t tile) {
    return quantizers_[static_cast<size_t>(group * (rows_ / kTileRows) + tile)];
  }
  template <typename Body>
  void for_tiles(Body&& body) {
    pool_.parallel_for(rows_ / kTileRows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t tile = begin; tile < end; ++tile) body(tile);
    });
  }
  template <typename T>
  void load(const std::vector<T>& from, int64_t group, int64_t tile, T* to) const {
    for (int64_t c = 0; c < g(); ++c)
      std::copy_n(from.data() + (group * g() + c) * rows_ + tile * kTileRows, kTileRows, to + c * kTileRows);
  }
  template <typename T>
  void store(const T* from, int64_t group, int64_t tile, std::vector<T>& to) const {
    for (int64_t c = 0; c < g(); ++c)
      std::copy_n(from + c * kTileRows, kTileRows, to.data() + (group * g() + c) * rows_ + tile * kTileRows);
  }
  void round_block(int64_t group, int64_t tile, float* x, const float* u, int64_t stride, float* tile_errors) {
    alignas(64) uint8_t codes[kMaxGroup * kTileRows];
    kernels_.gptq_tile(x, g(), levels_, u, stride, quantizer(group, tile), codes, tile_errors);
    store(codes, group, tile, codes_);
  }

  const RoundOptions& options_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  int64_t out_, in_, rows_, groups_;
  float levels_;
  std::vector<float> weight_;              // [in, rows]
  std::vector<uint8_t> codes_;             // [in, rows]
  std::vector<TileQuantizer> quantizers_;  // [groups, tiles]
};

SquareMatrix damped_inverse_factor(const SquareMatrix& h, double damping) {
  const double mean = h.mean_diagonal();
  for (int attempt = 0; attempt < 6; ++attempt, damping *= 10.0) {
    SquareMatrix u = h;
    for (int64_t i = 0; i < u.n; ++i) {
      if (!(u.row(i)[i] > 0.0)) u.row(i)[i] = mean;
      u.row(i)[i] += mean > 0.0 ? damping * mean : 1.0;
    }
    if (inverse_cholesky_upper(u)) return u;
  }
  fail_input("the second moments of the activations are not positive definite even with strong damping");
}

}  // namespace

double quadratic_loss(const std::vector<float>& e_transposed, int64_t out, const std::vector<float>& h, int64_t begin,
                      int64_t end) {
  const int64_t in = static_cast<int64_t>(e_transposed.size()) / out;
  const int64_t count = end - begin;
  std::vector<float> product(static_cast<size_t>(in * count));
  gemm(false, false, in, count, in, 1.0f, h.data(), in, e_transposed.data() + begin, out, 0.0f, product.data(), count);
  double total = 0.0;
  for (int64_t i = 0; i < in; ++i)
    for (int64_t r = 0; r < count; ++r)
      total += static_cast<double>(product[static_cast<size_t>(i * count + r)]) *
               static_cast<double>(e_transposed[static_cast<size_t>(i * out + begin + r)]);
  return total;
}

Rounded round_to_nearest(const std::vector<float>& w_transposed, int64_t out, const RoundOptions& options,
                         const Kernels& kernels, ThreadPool& pool) {
  Rounder rounder(w_transposed, out, options, kernels, pool);
  rounder.nearest();
  return rounder.result();
}

Rounded round_second_order(const std::vector<float>& w_transposed, int64_t out, const SquareMatrix& h,
                           const RoundOptions& options, const Kernels& kernels, ThreadPool& pool) {
  Rounder rounder(w_transposed, out, options, kernels, pool);
  PARO_CHECK(h.n * out == static_cast<int64_t>(w_transposed.size()));
  rounder.gptq(damped_inverse_factor(h, options.damping));
  std::vector<float> narrow(h.data.begin(), h.data.end());
  if (options.sweeps > 0) {
    std::vector<float> damped = narrow;
    const float extra = static_cast<float>(options.damping * h.mean_diagonal());
    for (int64_t i = 0; i < h.n; ++i) damped[static_cast<size_t>(i * h.n + i)] += extra;
    rounder.descend(damped);
  }
  Rounded rounded = rounder.result();
  rounded.loss = quadratic_loss(rounder.errors(), rounder.rows(), narrow, 0, rounder.rows());
  rounded.reference = quadratic_loss(rounder.weight(), rounder.rows(), narrow, 0, rounder.rows());
  return rounded;
}

}  // namespace paro::calib
