#include "calib/merged_fit.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <numeric>

#include "base/error.h"
#include "base/progress.h"
#include "calib/dense_weights.h"
#include "calib/layer_quantizer.h"
#include "calib/numeric/random.h"
#include "calib/numeric/rotation_descent.h"
#include "calib/numeric/rotation_objective.h"

namespace paro::calib {
namespace {

// Weights kept in memory; of a larger model every so many rows.
constexpr int64_t kKeptBytes = int64_t{4} << 30;
// Random streams: the layers' order, R1's start, then the starts of R2, head by head.
constexpr uint64_t kOrderStream = 0x5230;
constexpr uint64_t kStartStream = 0x5231;

using Terms = std::vector<RotatedTerm<float>>;

struct Member {
  std::string name;
  const Linear* linear;
};

void check_cancel(const QuantizeOptions& options) {
  if (options.cancel != nullptr && options.cancel->load()) throw Cancelled{};
}

std::vector<double> group_sums(const std::vector<double>& values, int64_t group_size) {
  std::vector<double> sums(values.size() / static_cast<size_t>(group_size));
  for (size_t i = 0; i < sums.size() * static_cast<size_t>(group_size); ++i)
    sums[i / static_cast<size_t>(group_size)] += values[i];
  return sums;
}

/// Each term's weight = 1 / its value at these rotations / the number of terms; a term that is 0 there stays 0.
void normalize(Terms& terms, RotationObjective<float>& objective, const std::vector<float>& rotations, double count) {
  for (RotatedTerm<float>& term : terms) {
    term.weight = 1.0;
    const double value = objective.evaluate({&term, 1}, rotations.data(), nullptr);
    if (!std::isfinite(value))
      fail_input("the weights or activations are too large for merged rotations to be learned");
    term.weight = value > 0.0 ? 1.0 / value / count : 0.0;
  }
}

std::vector<float> identities(int64_t n, int64_t count) {
  std::vector<float> result(static_cast<size_t>(count * n * n));
  for (int64_t i = 0; i < count * n; ++i) result[static_cast<size_t>(i * n + i % n)] = 1.0f;
  return result;
}

/// What R1 is learned on: the layers' weights, or a share of their rows.
class ResidualProblem {
 public:
  ResidualProblem(const QuantizeOptions& options, const ModelConfig& config, const MergePlan& plan,
                  const WeightSource& plain, const Rope& rope, const MergedMoments& moments,
                  const std::function<bool(const std::string&)>& skipped)
      : dim_(config.dim), group_size_(options.group_size), plan_(plan), moments_(moments) {
    DenseWeightFactory factory;
    for (int64_t layer = 0; layer < config.layers; ++layer) {
      check_cancel(options);
      const auto loaded = load_layer(config, layer, rope, plain, factory);
      std::map<int, std::vector<Member>> sets;
      int64_t bytes = 0;
      for (const LinearSlot& slot : loaded->linear_slots()) {
        const Linear& linear = **slot.weight;
        bytes += linear.in * linear.out * static_cast<int64_t>(sizeof(float));
        if (!skipped(slot.name)) sets[slot.set].push_back({slot.name, &linear});
      }
      // Every stride-th row, or group of rows.
      stride_ = std::max<int64_t>(1, (bytes * config.layers + kKeptBytes - 1) / kKeptBytes);
      layers_.emplace_back();
      for (const auto& [set, members] : sets) add_set(layer, set, members);
    }
  }

  std::vector<Terms>& layers() { return layers_; }
  int64_t count() const {
    return std::accumulate(layers_.begin(), layers_.end(), int64_t{0},
                           [](int64_t sum, const Terms& terms) { return sum + std::ssize(terms); });
  }

 private:
  void add_set(int64_t layer, int set, const std::vector<Member>& members) {
    if (plan_.reads_residual(members.front().name)) {
      std::vector<float>& x = weights_.emplace_back();
      int64_t rows = 0;
      for (const Member& member : members) rows += (member.linear->out + stride_ - 1) / stride_;
      x.reserve(static_cast<size_t>(rows * dim_));
      for (const Member& member : members) {
        const std::vector<float> w = weight_of(*member.linear);
        for (int64_t row = 0; row < member.linear->out; row += stride_)
          x.insert(x.end(), w.begin() + row * dim_, w.begin() + (row + 1) * dim_);
      }
      add({.side = RotatedSide::kInput, .second_moment = moments_.full(layer, set)});
      return;
    }
    for (const Member& member : members) {
      if (!plan_.writes_residual(member.name)) continue;
      const std::vector<float> w = weight_of(*member.linear);
      const std::vector<double> energy = group_sums(moments_.diagonal(layer, set), group_size_);
      const int64_t in = member.linear->in;
      std::vector<float>& x = weights_.emplace_back();
      const int64_t kept = (std::ssize(energy) + stride_ - 1) / stride_;
      x.reserve(static_cast<size_t>(kept * group_size_ * dim_));
      RotatedTerm<float> term{.side = RotatedSide::kOutput};
      for (int64_t group = 0; group < std::ssize(energy); group += stride_) {
        term.energy.push_back(energy[static_cast<size_t>(group)]);
        for (int64_t i = group * group_size_; i < (group + 1) * group_size_; ++i)
          for (int64_t o = 0; o < dim_; ++o) x.push_back(w[static_cast<size_t>(o * in + i)]);
      }
      add(std::move(term));
    }
  }

  /// A term over the weights added last.
  void add(RotatedTerm<float> term) {
    term.x = weights_.back().data();
    term.rows = std::ssize(weights_.back()) / dim_;
    layers_.back().push_back(std::move(term));
  }

  int64_t dim_;
  int64_t group_size_;
  int64_t stride_ = 1;
  const MergePlan& plan_;
  const MergedMoments& moments_;
  std::deque<std::vector<float>> weights_;
  std::vector<Terms> layers_;
};

double loss_of(std::vector<Terms>& layers, RotationObjective<float>& objective, const std::vector<float>& rotation) {
  double loss = 0.0;
  for (const Terms& terms : layers) loss += objective.evaluate(terms, rotation.data(), nullptr);
  return loss;
}

SquareMatrix fit_residual(const QuantizeOptions& options, const MergedFitOptions& how, ResidualProblem& problem,
                          int64_t dim, ThreadPool& pool, double& loss) {
  RotationObjective<float> objective(dim, 1, options.group_size, 15.0, pool);
  std::vector<Terms>& layers = problem.layers();
  const std::vector<float> identity = identities(dim, 1);
  for (Terms& terms : layers) normalize(terms, objective, identity, static_cast<double>(problem.count()));

  const int64_t together = (std::ssize(layers) + how.steps_per_pass - 1) / how.steps_per_pass;
  Random random(options.seed, kOrderStream);
  std::vector<size_t> order(layers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  size_t next = order.size();
  Progress progress("learning rotations", how.residual.steps);
  const auto step = [&](int64_t, const float* rotation, float* gradient) {
    check_cancel(options);
    Terms terms;
    for (int64_t i = 0; i < together; ++i) {
      if (next == order.size()) {
        random.shuffle(order);
        next = 0;
      }
      const Terms& drawn = layers[order[next++]];
      terms.insert(terms.end(), drawn.begin(), drawn.end());
    }
    objective.evaluate(terms, rotation, gradient);
    progress.advance(1);
  };
  SquareMatrix r = descend({random_orthogonal(dim, options.seed, kStartStream)}, step, how.residual, pool).front();
  loss = loss_of(layers, objective, {r.data.begin(), r.data.end()});
  return r;
}

/// diag(R^T H R) of f32 H [n, n].
std::vector<double> turned_diagonal(const float* h, const SquareMatrix& r, ThreadPool& pool) {
  const std::vector<double> wide(h, h + r.n * r.n);
  std::vector<double> product(wide.size());
  gemm(r.n, r.n, r.n, 1.0, wide.data(), r.data.data(), 0.0, product.data(), pool);
  std::vector<double> diagonal(static_cast<size_t>(r.n));
  for (int64_t i = 0; i < r.n; ++i)
    for (int64_t j = 0; j < r.n; ++j)
      diagonal[static_cast<size_t>(j)] += r.row(i)[j] * product[static_cast<size_t>(i * r.n + j)];
  return diagonal;
}

class ValueFit {
 public:
  ValueFit(const QuantizeOptions& options, const DescentOptions& descent, const ModelConfig& config,
           const MergePlan& plan, const WeightSource& turned, const SquareMatrix& residual,
           const MergedMoments& moments, ThreadPool& pool)
      : options_(options),
        descent_(descent),
        config_(config),
        plan_(plan),
        turned_(turned),
        residual_(residual),
        moments_(moments),
        pool_(pool),
        objective_(config.head_dim, config.kv_heads, options.group_size, 15.0, pool) {}

  /// R2 of the layer's KV heads. `loss`: after over before, of the linears that count.
  std::vector<SquareMatrix> fit(int64_t layer, const std::vector<LinearSlot>& slots,
                                const std::function<bool(const std::string&)>& skipped, double& loss) {
    const RotationPoints& points = plan_.layers[static_cast<size_t>(layer)];
    std::vector<SquareMatrix> start;
    for (int64_t head = 0; head < config_.kv_heads; ++head)
      start.push_back(random_orthogonal(config_.head_dim, options_.seed,
                                        kStartStream + static_cast<uint64_t>(1 + layer * config_.kv_heads + head)));
    Terms terms;
    std::vector<float> value, output;
    const auto set_of = [&](const std::string& name) {
      return std::find_if(slots.begin(), slots.end(), [&](const LinearSlot& slot) { return slot.name == name; })->set;
    };
    if (!skipped(points.value)) terms.push_back(value_term(layer, set_of(points.value), points.value, value));
    if (!skipped(points.output)) terms.push_back(output_term(layer, set_of(points.output), points.output, output));
    loss = 1.0;
    if (terms.empty()) return start;
    normalize(terms, objective_, identities(config_.head_dim, config_.kv_heads), static_cast<double>(terms.size()));
    std::vector<SquareMatrix> found = descend(
        start,
        [&](int64_t, const float* rotations, float* gradient) { objective_.evaluate(terms, rotations, gradient); },
        descent_, pool_);
    std::vector<float> narrow;
    for (const SquareMatrix& r : found) narrow.insert(narrow.end(), r.data.begin(), r.data.end());
    loss = objective_.evaluate(terms, narrow.data(), nullptr);
    return found;
  }

 private:
  /// X = W^T of v, whose inputs have been turned by R1 (or not).
  RotatedTerm<float> value_term(int64_t layer, int set, const std::string& name, std::vector<float>& x) {
    const std::vector<float> w = turned_.load_f32(name + ".weight");
    const int64_t columns = config_.kv_heads * config_.head_dim;
    const int64_t in = std::ssize(w) / columns;
    x.resize(w.size());
    for (int64_t o = 0; o < columns; ++o)
      for (int64_t i = 0; i < in; ++i) x[static_cast<size_t>(i * columns + o)] = w[static_cast<size_t>(o * in + i)];
    const std::vector<double> diagonal =
        residual_.n > 0 ? turned_diagonal(moments_.full(layer, set), residual_, pool_) : moments_.diagonal(layer, set);
    return {.side = RotatedSide::kOutput,
            .x = x.data(),
            .rows = in,
            .blocks = config_.kv_heads,
            .energy = group_sums(diagonal, options_.group_size)};
  }

  RotatedTerm<float> output_term(int64_t layer, int set, const std::string& name, std::vector<float>& x) {
    x = turned_.load_f32(name + ".weight");
    return {.side = RotatedSide::kInput,
            .x = x.data(),
            .rows = std::ssize(x) / (config_.heads * config_.head_dim),
            .blocks = config_.heads,
            .sharing = config_.heads / config_.kv_heads,
            .second_moment = moments_.heads(layer, set)};
  }

  const QuantizeOptions& options_;
  const DescentOptions& descent_;
  const ModelConfig& config_;
  const MergePlan& plan_;
  const WeightSource& turned_;
  const SquareMatrix& residual_;
  const MergedMoments& moments_;
  ThreadPool& pool_;
  RotationObjective<float> objective_;
};

}  // namespace

MergedFit fit_merged_rotations(const QuantizeOptions& options, const ModelConfig& config, const MergePlan& plan,
                               const std::shared_ptr<const WeightSource>& source, const WeightSource& plain,
                               const Rope& rope, const MergedMoments& moments,
                               const std::function<bool(const std::string&)>& skipped, ThreadPool& pool,
                               const MergedFitOptions& how) {
  MergedFit fit;
  if (plan.residual) {
    ResidualProblem problem(options, config, plan, plain, rope, moments, skipped);
    fit.rotations.residual = fit_residual(options, how, problem, config.dim, pool, fit.residual_loss);
  }
  if (!plan.values) return fit;
  const MergedWeights turned(source, config, plan, fit.rotations, pool);
  ValueFit values(options, how.values, config, plan, turned, fit.rotations.residual, moments, pool);
  DenseWeightFactory factory;
  Progress progress("learning rotations of values", config.layers);
  double sum = 0.0;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    check_cancel(options);
    double loss = 1.0;
    const auto loaded = load_layer(config, layer, rope, plain, factory);
    fit.rotations.values.push_back(values.fit(layer, loaded->linear_slots(), skipped, loss));
    sum += loss;
    progress.advance(1);
  }
  fit.values_loss = sum / static_cast<double>(config.layers);
  return fit;
}

namespace {

/// Of all layers' linears, one number each.
double weight_count(const ModelConfig& config) {
  return static_cast<double>(config.dim * config.layers) *
         static_cast<double>(2 * (config.heads + config.kv_heads) * config.head_dim + 3 * config.ffn_dim);
}

double layers_together(const ModelConfig& config) {
  return std::ceil(static_cast<double>(config.layers) / static_cast<double>(MergedFitOptions{}.steps_per_pass));
}

}  // namespace

double merged_fit_macs(const ModelConfig& config) {
  const auto dim = static_cast<double>(config.dim);
  const double kept = std::min(weight_count(config), static_cast<double>(kKeptBytes) / sizeof(float));
  // A step: the weights and two second moments of its layers, and six products for R itself. An eighth for extremes.
  const double layer = kept / static_cast<double>(config.layers) * dim + 2.0 * dim * dim * dim;
  const double step = 1.125 * layers_together(config) * layer + 6.0 * dim * dim * dim;
  return static_cast<double>(MergedFitOptions{}.residual.steps) * step;
}

double merged_fit_bytes(const ModelConfig& config) {
  const auto dim = static_cast<double>(config.dim);
  const double kept = std::min(weight_count(config) * sizeof(float), static_cast<double>(kKeptBytes));
  return kept + dim * dim * 4.0 * (10.0 + 2.0 * layers_together(config));
}

}  // namespace paro::calib
