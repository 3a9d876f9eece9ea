#include "calib/cpu_device.h"

#include <unistd.h>

#include <algorithm>

#include "backends/cpu/cpu_ops.h"
#include "base/error.h"
#include "calib/dense_weights.h"
#include "calib/mapped_values.h"
#include "calib/numeric/arrange.h"
#include "calib/numeric/correction.h"
#include "calib/numeric/rotate.h"
#include "calib/numeric/statistics.h"
#include "kernels/machine/machine_limits.h"

namespace paro::calib {
namespace {

// Enough rows to keep the dense products busy.
constexpr int64_t kStepRows = 2048;
// Rows of hidden states that one thread copies at a time.
constexpr int64_t kCopiedRows = 32;
// Floats of a copy that one thread takes at a time.
constexpr int64_t kCopiedValues = 1 << 16;

// Of the f32 peak, over all phases: measured on two cores with AVX2 (docs/benchmarks.md).
constexpr double kShareOfPeak = 0.45;

struct CpuMatrix : WeightMatrix {
  std::vector<float> values;
};

struct CpuMoment : SecondMoment {
  SquareMatrix h;
};

struct CpuSums : MomentSums {
  CpuSums(int64_t width, int64_t cross, ThreadPool& pool) : sums(width, cross, pool) {
    in = width;
    cross_rows = cross;
  }
  void add(const float* x, const float* y, int64_t rows) override { sums.add(x, y, rows); }
  void combine(const std::function<void(std::span<double>)>& add_up) override { sums.combine(add_up); }
  Statistics sums;
};

const CpuMatrix& cpu(const WeightMatrix& w) { return static_cast<const CpuMatrix&>(w); }
const CpuMoment& cpu(const SecondMoment& h) { return static_cast<const CpuMoment&>(h); }
const CpuSums& cpu(const MomentSums& s) { return static_cast<const CpuSums&>(s); }

class CpuDevice : public Device, public HostMatrices {
 public:
  explicit CpuDevice(int threads)
      : ops_(make_cpu_ops({.threads = threads, .activations = Activations::kF32})),
        pool_(thread_pool_of(*ops_)),
        kernels_(kernels_for(active_isa())) {}

  Ops& ops() override { return *ops_; }
  WeightFactory& factory() override { return factory_; }
  std::unique_ptr<Linear> make_linear(const Paro4Weight& weight) override {
    return make_dense_linear(dequantize_paro4(weight, &pool_), weight.out, weight.in, weight.bias);
  }
  std::unique_ptr<KvCache> make_cache(const ModelConfig& config, int64_t capacity) override {
    return make_cpu_cache(config, capacity);
  }
  int64_t rows_of_step(const ModelConfig&) const override { return kStepRows; }

  Values allocate(int64_t count) override {
    // Not a vector: there is no need to write zeros to gigabytes first.
    return {std::make_unique_for_overwrite<float[]>(static_cast<size_t>(count)).release(),
            [](float* data) { delete[] data; }};
  }
  Values allocate_states(int64_t count, int64_t all_bytes, const StateSpill& spill) override {
    return all_bytes > spill.bytes ? map_values(count, spill.folder) : allocate(count);
  }
  bool can_keep(int64_t bytes) const override { return bytes < physical_memory_bytes() / 3; }
  void copy(const float* from, int64_t count, float* to) override {
    pool_.parallel_for(count, kCopiedValues,
                       [&](int64_t begin, int64_t end) { std::copy(from + begin, from + end, to + begin); });
  }
  std::vector<float> to_host(const float* from, int64_t count) override { return {from, from + count}; }
  void subtract_from(Tensor x, float* y, const std::vector<float>& bias) override {
    pool_.parallel_for(x.rows, kCopiedRows, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin * x.dim; i < end * x.dim; ++i) y[i] = x.f32()[i] - y[i];
      for (int64_t i = begin * x.dim; !bias.empty() && i < end * x.dim; ++i)
        y[i] -= bias[static_cast<size_t>(i % x.dim)];
    });
  }

  std::unique_ptr<MomentSums> make_sums(int64_t in, int64_t cross_rows) override {
    return std::make_unique<CpuSums>(in, cross_rows, pool_);
  }
  std::unique_ptr<SecondMoment> second_moment(const MomentSums& sums, const std::string& where) override {
    auto moment = std::make_unique<CpuMoment>();
    moment->h = cpu(sums).sums.second_moment(where);
    moment->n = moment->h.n;
    for (int64_t i = 0; i < moment->n; ++i) moment->diagonal.push_back(moment->h.row(i)[i]);
    return moment;
  }
  std::unique_ptr<SecondMoment> copy_of(const SecondMoment& h) override { return std::make_unique<CpuMoment>(cpu(h)); }
  std::unique_ptr<WeightMatrix> weight_of(const Linear& linear) override {
    auto w = std::make_unique<CpuMatrix>();
    w->out = linear.out;
    w->in = linear.in;
    w->values = calib::weight_of(linear);
    return w;
  }
  std::unique_ptr<WeightMatrix> part_of(const WeightMatrix& w, const WeightPart& part) override {
    auto result = std::make_unique<CpuMatrix>();
    result->out = part.end_row - part.first_row;
    result->in = part.end_column - part.first_column;
    for (int64_t row = part.first_row; row < part.end_row; ++row) {
      const auto from = cpu(w).values.begin() + row * w.in;
      result->values.insert(result->values.end(), from + part.first_column, from + part.end_column);
    }
    return result;
  }
  std::vector<float> channel_magnitudes(const WeightMatrix& w) override {
    return largest_of_channels(cpu(w).values, w.in);
  }
  void correct(std::span<WeightMatrix* const> weights, const MomentSums& sums, CrossMoment cross, const SecondMoment& h,
               double damping, const std::string& where) override {
    if (cross == CrossMoment::kNone) return;
    const SquareMatrix& moment = cpu(h).h;
    const std::vector<double> wanted = cpu(sums).sums.cross_moment(where);
    for (WeightMatrix* weight : weights) {
      std::vector<float>& w = static_cast<CpuMatrix*>(weight)->values;
      std::vector<double> excess = cross == CrossMoment::kInputs
                                       ? excess_from_inputs(w.data(), weight->out, moment, wanted, pool_)
                                       : excess_from_outputs(w.data(), weight->out, moment, wanted, pool_);
      w = corrected_weight(w.data(), weight->out, moment, std::move(excess), damping, pool_);
    }
  }
  double nearest_loss(const WeightMatrix& w, const SecondMoment& h, const RoundOptions& options,
                      const std::vector<float>& scale) override {
    const std::vector<float> moment(cpu(h).h.data.begin(), cpu(h).h.data.end());
    return calib::nearest_loss(transposed(cpu(w).values, w.out, pool_), w.out, scale, moment, options, kernels_, pool_);
  }
  FitResult fit(const SharedFit& problem, const PairRounds& pairs, const FitOptions& options) override;
  void rotate(SecondMoment& h, const PairRotation& rotation) override {
    rotate_second_moment(rotation, static_cast<CpuMoment&>(h).h, pool_);
  }
  Rounded round(const WeightMatrix& w, const PairRotation& rotation, const SecondMoment* h,
                const RoundOptions& options) override {
    std::vector<float> rotated = transposed(cpu(w).values, w.out, pool_);
    if (!options.order.empty()) {
      PARO_CHECK(h != nullptr && is_identity(rotation));
      return round_second_order(reordered(rotated, w.out, options.order), w.out, reordered(cpu(*h).h, options.order),
                                options, kernels_, pool_);
    }
    rotate_transposed(rotation, rotated.data(), w.out, pool_);
    if (h == nullptr) return round_to_nearest(rotated, w.out, options, kernels_, pool_);
    return options.second_order ? round_second_order(rotated, w.out, cpu(*h).h, options, kernels_, pool_)
                                : round_clipped(rotated, w.out, cpu(*h).h, options, kernels_, pool_);
  }
  bool has_baselines() const override { return true; }

  const HostMatrices* host_matrices() const override { return this; }
  const std::vector<float>& values(const WeightMatrix& w) const override { return cpu(w).values; }
  const SquareMatrix& values(const SecondMoment& h) const override { return cpu(h).h; }
  ThreadPool& pool() const override { return pool_; }

  double measure_rate() override { return measure_machine_limits(pool_).f32_gflop_per_s * 1e9 * kShareOfPeak; }
  Json fingerprint() const override { return {{"threads", pool_.size()}, {"isa", isa_name(active_isa())}}; }

 private:
  std::unique_ptr<Ops> ops_;
  ThreadPool& pool_;
  const Kernels& kernels_;
  DenseWeightFactory factory_;
};

FitResult CpuDevice::fit(const SharedFit& problem, const PairRounds& pairs, const FitOptions& options) {
  FitProblem stacked_problem;
  std::vector<float> stacked;
  for (size_t i = 0; i < problem.weights.size(); ++i) {
    const std::vector<float>& values = cpu(*problem.weights[i]).values;
    stacked.insert(stacked.end(), values.begin(), values.end());
    stacked_problem.row_weight.insert(stacked_problem.row_weight.end(), static_cast<size_t>(problem.weights[i]->out),
                                      problem.row_weight[i]);
    stacked_problem.out += problem.weights[i]->out;
  }
  stacked_problem.weight = stacked.data();
  stacked_problem.group_energy = problem.group_energy;
  return fit_rotation(stacked_problem, pairs, options, kernels_, pool_);
}

}  // namespace

std::unique_ptr<Device> make_cpu_device(int threads) { return std::make_unique<CpuDevice>(threads); }

}  // namespace paro::calib
