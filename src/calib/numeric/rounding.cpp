#include "calib/numeric/rounding.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace paro::calib {
namespace {

// Ratios 1, 0.975, ... 0.6 of the range, as in choose_range.
constexpr int kClipSteps = 17;
constexpr float kClipStep = 0.025f;

struct RoundedLoss {
  double loss = 0.0;
  double reference = 0.0;
};

/// Rounds some rows of a weight on one thread; everything transposed, rows padded to whole tiles. Rows do not depend on
/// each other, so a thread takes a block of them through all steps, and the block stays in its cache.
class RowBlock {
 public:
  RowBlock(const std::vector<float>& w_transposed, int64_t out, int64_t begin, int64_t end, const RoundOptions& options,
           const Kernels& kernels)
      : options_(options),
        kernels_(kernels),
        begin_(begin),
        out_(end - begin),
        in_(static_cast<int64_t>(w_transposed.size()) / out),
        rows_((out_ + kTileRows - 1) / kTileRows * kTileRows),
        groups_(in_ / options.group_size),
        levels_(static_cast<float>(options.levels)),
        weight_(static_cast<size_t>(in_ * rows_)),
        codes_(static_cast<size_t>(in_ * rows_)),
        quantizers_(static_cast<size_t>(groups_ * rows_ / kTileRows)) {
    PARO_CHECK(in_ % options.group_size == 0 && options.group_size <= kMaxGroup);
    for (int64_t i = 0; i < in_; ++i)
      std::copy_n(w_transposed.begin() + i * out + begin, out_, weight_.begin() + i * rows_);
  }

  void nearest() {
    alignas(64) float x[kMaxGroup * kTileRows];
    alignas(64) float errors[kMaxGroup * kTileRows];
    const std::vector<float> identity = unit_factor();
    for (int64_t tile = 0; tile < tiles(); ++tile)
      for (int64_t group = 0; group < groups_; ++group) {
        load(weight_, group, tile, x);
        kernels_.choose_range(x, g(), levels_, false, nullptr, &quantizer(group, tile));
        round_block(group, tile, x, identity.data(), g(), errors);
      }
  }

  /// h [in, in].
  void clipped(const std::vector<float>& h) {
    alignas(64) float x[kMaxGroup * kTileRows];
    alignas(64) float scratch[kMaxGroup * kTileRows];
    alignas(64) float errors[kMaxGroup * kTileRows];
    alignas(64) float products[kMaxGroup * kTileRows];
    alignas(64) uint8_t codes[kMaxGroup * kTileRows];
    const std::vector<float> identity = unit_factor();
    for (int64_t group = 0; group < groups_; ++group) {
      const float* block = h.data() + group * g() * (in_ + 1);
      for (int64_t tile = 0; tile < tiles(); ++tile) {
        load(weight_, group, tile, x);
        TileQuantizer& chosen = quantizer(group, tile);
        float best[kTileRows];
        for (int step = 0; step < kClipSteps; ++step) {
          // The range of a shrunk group is the shrunk range.
          const float ratio = 1.0f - kClipStep * static_cast<float>(step);
          TileQuantizer tried;
          std::transform(x, x + g() * kTileRows, scratch, [ratio](float v) { return v * ratio; });
          kernels_.choose_range(scratch, g(), levels_, false, nullptr, &tried);
          std::copy_n(x, g() * kTileRows, scratch);
          kernels_.gptq_tile(scratch, g(), levels_, identity.data(), g(), tried, codes, errors);
          gemm(false, false, g(), kTileRows, g(), 1.0f, block, in_, errors, kTileRows, 0.0f, products, kTileRows);
          for (int64_t r = 0; r < kTileRows; ++r) {
            float loss = 0.0f;
            for (int64_t c = 0; c < g(); ++c) loss += errors[c * kTileRows + r] * products[c * kTileRows + r];
            if (step > 0 && !(loss < best[r])) continue;
            best[r] = loss;
            chosen.scale[r] = tried.scale[r];
            chosen.zero[r] = tried.zero[r];
          }
        }
        round_block(group, tile, x, identity.data(), g(), errors);
      }
    }
  }

  /// factor: U of damped_inverse_factor in f32, [in, in].
  void gptq(const std::vector<float>& factor) {
    alignas(64) float x[kMaxGroup * kTileRows];
    alignas(64) float tile_errors[kMaxGroup * kTileRows];
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
      for (int64_t tile = 0; tile < tiles(); ++tile) {
        load(work, group, tile, x);
        kernels_.choose_range(x, g(), levels_, options_.clip, column_weight.data(), &quantizer(group, tile));
        round_block(group, tile, x, block, in_, tile_errors);
        store(tile_errors, 0, tile, errors);
      }
      const int64_t rest = in_ - first - g();
      if (rest > 0)
        gemm(true, false, rest, rows_, g(), -1.0f, block + g(), in_, errors.data(), rows_, 1.0f,
             work.data() + (first + g()) * rows_, rows_);
    }
  }

  void descend(const std::vector<float>& h) {
    if (options_.sweeps == 0) return;
    alignas(64) float x[kMaxGroup * kTileRows];
    alignas(64) float delta[kMaxGroup * kTileRows];
    alignas(64) uint8_t codes[kMaxGroup * kTileRows];
    const std::vector<float> error = errors();
    std::vector<float> slope(error.size());
    gemm(false, false, in_, rows_, in_, 1.0f, h.data(), in_, error.data(), rows_, 0.0f, slope.data(), rows_);
    std::vector<float> change(static_cast<size_t>(g() * rows_));
    for (int64_t sweep = 0; sweep < options_.sweeps; ++sweep)
      for (int64_t group = 0; group < groups_; ++group) {
        const int64_t first = group * g();
        for (int64_t tile = 0; tile < tiles(); ++tile) {
          load(slope, group, tile, x);
          load(codes_, group, tile, codes);
          kernels_.descent_tile(x, g(), levels_, h.data() + first * in_ + first, in_, quantizer(group, tile), codes,
                                delta);
          store(codes, group, tile, codes_);
          store(delta, 0, tile, change);
        }
        gemm(true, false, in_, rows_, g(), 1.0f, h.data() + first * in_, in_, change.data(), rows_, 1.0f, slope.data(),
             rows_);
      }
  }

  /// trace of E H E^T and of W H W^T over these rows.
  double loss(const std::vector<float>& h) const { return quadratic_loss(errors(), rows_, h, 0, rows_); }
  double reference(const std::vector<float>& h) const { return quadratic_loss(weight_, rows_, h, 0, rows_); }

  void write_into(Rounded& rounded) const {
    for (int64_t r = 0; r < out_; ++r) {
      const int64_t o = begin_ + r;
      for (int64_t i = 0; i < in_; ++i)
        rounded.codes[static_cast<size_t>(o * in_ + i)] = codes_[static_cast<size_t>(i * rows_ + r)];
      for (int64_t group = 0; group < groups_; ++group) {
        const TileQuantizer& q = quantizers_[static_cast<size_t>(group * tiles() + r / kTileRows)];
        const float scale = q.scale[r % kTileRows];
        if (!std::isfinite(scale)) fail_input("a scale does not fit into F16 (row {}, group {})", o, group);
        rounded.scales[static_cast<size_t>(o * groups_ + group)] = scale;
        rounded.zeros[static_cast<size_t>(o * groups_ + group)] = static_cast<uint8_t>(q.zero[r % kTileRows]);
      }
    }
  }

 private:
  int64_t g() const { return options_.group_size; }
  /// With the identity for U, rounding column by column pushes no error anywhere.
  std::vector<float> unit_factor() const {
    std::vector<float> identity(static_cast<size_t>(g() * g()));
    for (int64_t c = 0; c < g(); ++c) identity[static_cast<size_t>(c * g() + c)] = 1.0f;
    return identity;
  }
  int64_t tiles() const { return rows_ / kTileRows; }
  TileQuantizer& quantizer(int64_t group, int64_t tile) {
    return quantizers_[static_cast<size_t>(group * tiles() + tile)];
  }
  /// value - weight, [in, rows].
  std::vector<float> errors() const {
    std::vector<float> result(weight_.size());
    for (int64_t i = 0; i < in_; ++i)
      for (int64_t r = 0; r < rows_; ++r) {
        const TileQuantizer& q = quantizers_[static_cast<size_t>(i / g() * tiles() + r / kTileRows)];
        const size_t at = static_cast<size_t>(i * rows_ + r);
        result[at] = (static_cast<float>(codes_[at]) - q.zero[r % kTileRows]) * q.scale[r % kTileRows] - weight_[at];
      }
    return result;
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
  int64_t begin_, out_, in_, rows_, groups_;
  float levels_;
  std::vector<float> weight_;              // [in, rows]
  std::vector<uint8_t> codes_;             // [in, rows]
  std::vector<TileQuantizer> quantizers_;  // [groups, tiles]
};

/// Calls step(block) for blocks of rows, spread over the threads; what it leaves in `loss` and `reference` is summed in
/// the order of the rows.
template <typename Step>
Rounded round_rows(const std::vector<float>& w_transposed, int64_t out, const RoundOptions& options,
                   const Kernels& kernels, ThreadPool& pool, Step&& step) {
  // About 24 blocks spread well; more than 128 rows gain nothing in the products.
  const int64_t block = std::clamp((out / 24 + kTileRows - 1) / kTileRows * kTileRows, kTileRows, 4 * kTileRows);
  const int64_t blocks = (out + block - 1) / block;
  const int64_t in = static_cast<int64_t>(w_transposed.size()) / out;
  Rounded rounded;
  rounded.codes.resize(w_transposed.size());
  rounded.zeros.resize(static_cast<size_t>(out * (in / options.group_size)));
  rounded.scales.resize(rounded.zeros.size());
  std::vector<RoundedLoss> losses(static_cast<size_t>(blocks));
  pool.parallel_for(blocks, 1, [&](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b) {
      RowBlock rows(w_transposed, out, b * block, std::min(out, (b + 1) * block), options, kernels);
      losses[static_cast<size_t>(b)] = step(rows);
      rows.write_into(rounded);
    }
  });
  for (const RoundedLoss& part : losses) {
    rounded.loss += part.loss;
    rounded.reference += part.reference;
  }
  return rounded;
}

SquareMatrix damped_inverse_factor(const SquareMatrix& h, double damping, ThreadPool& pool) {
  const double mean = h.mean_diagonal();
  for (int attempt = 0; attempt < 6; ++attempt, damping *= 10.0) {
    SquareMatrix u = h;
    for (int64_t i = 0; i < u.n; ++i) {
      if (!(u.row(i)[i] > 0.0)) u.row(i)[i] = mean;
      u.row(i)[i] += mean > 0.0 ? damping * mean : 1.0;
    }
    if (inverse_cholesky_upper(u, pool)) return u;
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
  return round_rows(w_transposed, out, options, kernels, pool, [](RowBlock& rows) {
    rows.nearest();
    return RoundedLoss{};
  });
}

double rounded_loss(const Rounded& rounded, const std::vector<float>& target_transposed, int64_t out,
                    const std::vector<float>& scale, const std::vector<float>& h, int64_t group_size,
                    ThreadPool& pool) {
  constexpr int64_t kInputs = 16;
  constexpr int64_t kRows = 64;
  const int64_t in = static_cast<int64_t>(target_transposed.size()) / out;
  const int64_t groups = in / group_size;
  std::vector<float> error(target_transposed);
  pool.parallel_for(in, kInputs, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float inverse = scale.empty() ? 1.0f : 1.0f / scale[static_cast<size_t>(i)];
      float* column = error.data() + i * out;
      for (int64_t o = 0; o < out; ++o) {
        const auto group = static_cast<size_t>(o * groups + i / group_size);
        const auto code = static_cast<float>(rounded.codes[static_cast<size_t>(o * in + i)]);
        column[o] = ((code - rounded.zeros[group]) * rounded.scales[group] - column[o]) * inverse;
      }
    }
  });
  std::vector<double> parts(static_cast<size_t>((out + kRows - 1) / kRows));
  pool.parallel_for(static_cast<int64_t>(parts.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part)
      parts[static_cast<size_t>(part)] = quadratic_loss(error, out, h, part * kRows, std::min(out, (part + 1) * kRows));
  });
  return std::accumulate(parts.begin(), parts.end(), 0.0);
}

double nearest_loss(const std::vector<float>& w_transposed, int64_t out, const std::vector<float>& scale,
                    const std::vector<float>& h, const RoundOptions& options, const Kernels& kernels,
                    ThreadPool& pool) {
  std::vector<float> scaled(w_transposed);
  if (!scale.empty())
    for (size_t i = 0; i < scale.size(); ++i)
      for (int64_t o = 0; o < out; ++o) scaled[i * static_cast<size_t>(out) + static_cast<size_t>(o)] *= scale[i];
  const Rounded rounded = round_to_nearest(scaled, out, options, kernels, pool);
  return rounded_loss(rounded, scaled, out, scale, h, options.group_size, pool);
}

Rounded round_clipped(const std::vector<float>& w_transposed, int64_t out, const SquareMatrix& h,
                      const RoundOptions& options, const Kernels& kernels, ThreadPool& pool) {
  PARO_CHECK(h.n * out == static_cast<int64_t>(w_transposed.size()));
  const std::vector<float> plain(h.data.begin(), h.data.end());
  return round_rows(w_transposed, out, options, kernels, pool, [&](RowBlock& rows) {
    if (options.clip)
      rows.clipped(plain);
    else
      rows.nearest();
    return RoundedLoss{rows.loss(plain), rows.reference(plain)};
  });
}

Rounded round_second_order(const std::vector<float>& w_transposed, int64_t out, const SquareMatrix& h,
                           const RoundOptions& options, const Kernels& kernels, ThreadPool& pool) {
  PARO_CHECK(h.n * out == static_cast<int64_t>(w_transposed.size()));
  const SquareMatrix u = damped_inverse_factor(h, options.damping, pool);
  const std::vector<float> factor(u.data.begin(), u.data.end());
  const std::vector<float> plain(h.data.begin(), h.data.end());
  std::vector<float> damped = plain;
  const float extra = static_cast<float>(options.damping * h.mean_diagonal());
  for (int64_t i = 0; i < h.n; ++i) damped[static_cast<size_t>(i * h.n + i)] += extra;
  return round_rows(w_transposed, out, options, kernels, pool, [&](RowBlock& rows) {
    rows.gptq(factor);
    rows.descend(damped);
    return RoundedLoss{rows.loss(plain), rows.reference(plain)};
  });
}

}  // namespace paro::calib
