#include "calib/cuda/cuda_device.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <numbers>

#include "backends/cuda/cuda_ops.h"
#include "backends/cuda/kernels.h"
#include "backends/cuda/products.h"
#include "backends/cuda/weights.h"
#include "base/error.h"
#include "calib/cuda/device_rotation.h"
#include "calib/cuda/kernels.h"
#include "calib/cuda/moments.h"

namespace paro::calib {
namespace {

// Bytes of activations that one step may make: the products are then large, and a 2,048-token window always fits.
constexpr int64_t kStepBytes = int64_t{4} << 30;
constexpr int64_t kMostStepRows = 32768;
// Of the rate of a large f32 product, over all phases of an 8B shape on an H100; split products run at three times it.
constexpr double kShareOfPeak = 0.75;
constexpr double kShareOfPeakSplit = 1.5;

CudaMatrix& on_device(WeightMatrix& w) { return static_cast<CudaMatrix&>(w); }
const CudaMatrix& on_device(const WeightMatrix& w) { return static_cast<const CudaMatrix&>(w); }
CudaMoment& on_device(SecondMoment& h) { return static_cast<CudaMoment&>(h); }
const CudaMoment& on_device(const SecondMoment& h) { return static_cast<const CudaMoment&>(h); }
const CudaSums& on_device(const MomentSums& sums) { return static_cast<const CudaSums&>(sums); }

class CudaDevice : public Device {
 public:
  CudaDevice(int index, const CudaDeviceOptions& options)
      : context_(index),
        options_(options),
        ops_(make_cuda_ops(context_, {.products = options.forward})),
        factory_(make_cuda_weight_factory(context_)) {}

  Ops& ops() override { return *ops_; }
  WeightFactory& factory() override { return *factory_; }
  std::unique_ptr<Linear> make_linear(const Paro4Weight& weight) override;
  std::unique_ptr<KvCache> make_cache(const ModelConfig& config, int64_t capacity) override {
    return make_cuda_cache(context_, config, capacity, CacheUse::kWholeOnly);
  }
  int64_t rows_of_step(const ModelConfig& config) const override {
    const int64_t values = 3 * config.ffn_dim + 4 * config.heads * config.head_dim + 4 * config.dim;
    return std::min(kMostStepRows, kStepBytes / (values * static_cast<int64_t>(sizeof(float))));
  }

  Values allocate(int64_t count) override {
    return {static_cast<float*>(context_.allocate(count * static_cast<int64_t>(sizeof(float)))),
            [this](float* data) { context_.release(data); }};
  }
  bool can_keep(int64_t bytes) const override { return bytes < context_.free_bytes() / 3; }
  void copy(const float* from, int64_t count, float* to) override {
    cuda_check(cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(float), cudaMemcpyDeviceToDevice,
                               context_.stream()),
               "copying on the device");
  }
  std::vector<float> to_host(const float* from, int64_t count) override {
    std::vector<float> result(static_cast<size_t>(count));
    cuda_check(
        cudaMemcpyAsync(result.data(), from, result.size() * sizeof(float), cudaMemcpyDeviceToHost, context_.stream()),
        "copying from the device");
    context_.synchronize();
    return result;
  }
  void subtract_from(Tensor x, float* y, const std::vector<float>& bias) override {
    DeviceArray<float> uploaded;
    if (!bias.empty()) uploaded = upload(context_, bias);
    launch_subtract_from(context_.stream(), x.f32(), y, uploaded.data(), x.rows, x.dim);
    check("subtracting");
  }

  std::unique_ptr<MomentSums> make_sums(int64_t in, int64_t cross_rows) override {
    return std::make_unique<CudaSums>(context_, in, cross_rows, options_.moments);
  }
  std::unique_ptr<SecondMoment> second_moment(const MomentSums& sums, const std::string& where) override {
    return on_device(sums).second_moment(where);
  }
  std::unique_ptr<SecondMoment> copy_of(const SecondMoment& h) override {
    auto copy = std::make_unique<CudaMoment>();
    copy->n = h.n;
    copy->diagonal = h.diagonal;
    copy->h = DeviceArray<double>(context_, h.n * h.n);
    copy->h.from_device(on_device(h).h.data());
    return copy;
  }
  std::unique_ptr<WeightMatrix> weight_of(const Linear& linear) override {
    const auto* made = dynamic_cast<const CudaLinear*>(&linear);
    PARO_CHECK(made != nullptr);
    auto w = std::make_unique<CudaMatrix>();
    w->out = linear.out;
    w->in = linear.in;
    w->values = made->weight.widened(context_);
    return w;
  }
  std::unique_ptr<WeightMatrix> part_of(const WeightMatrix& w, const WeightPart& part) override {
    auto result = std::make_unique<CudaMatrix>();
    result->out = part.end_row - part.first_row;
    result->in = part.end_column - part.first_column;
    result->values = DeviceArray<float>(context_, result->out * result->in);
    cuda_check(
        cudaMemcpy2DAsync(result->values.data(), static_cast<size_t>(result->in) * sizeof(float),
                          on_device(w).values.data() + part.first_row * w.in + part.first_column,
                          static_cast<size_t>(w.in) * sizeof(float), static_cast<size_t>(result->in) * sizeof(float),
                          static_cast<size_t>(result->out), cudaMemcpyDeviceToDevice, context_.stream()),
        "copying a part of a weight");
    return result;
  }
  std::vector<float> channel_magnitudes(const WeightMatrix& w) override {
    return largest_of_channels(to_host(on_device(w).values.data(), w.out * w.in), w.in);
  }
  void correct(std::span<WeightMatrix* const> weights, const MomentSums& sums, CrossMoment cross, const SecondMoment& h,
               double damping, const std::string& where) override {
    if (cross == CrossMoment::kNone) return;
    correct_on_device(context_, weights, cross, on_device(sums).cross_moment(where), on_device(h), damping);
  }
  double nearest_loss(const WeightMatrix& w, const SecondMoment& h, const RoundOptions& options,
                      const std::vector<float>& scale) override {
    PARO_CHECK(scale.empty());
    const DeviceArray<float> error(context_, w.out * w.in);
    launch_round_nearest(context_.stream(), round_launch(w, options), on_device(w).values.data(), error.data());
    check("rounding to nearest");
    return quadratic_loss_on_device(context_, error.data(), w.out, narrowed(context_, on_device(h)), w.in);
  }
  FitResult fit(const SharedFit& problem, const PairRounds& pairs, const FitOptions& options) override;
  void rotate(SecondMoment& h, const PairRotation& rotation) override;
  Rounded round(const WeightMatrix& w, const PairRotation& rotation, const SecondMoment* h,
                const RoundOptions& options) override;

  bool has_baselines() const override { return false; }
  double measure_rate() override;
  Json fingerprint() const override {
    return {{"device", context_.name()},
            {"forward_products", products_name(options_.forward)},
            {"moment_products", products_name(options_.moments)}};
  }

 private:
  static void check(const char* what) { cuda_check(cudaGetLastError(), what); }
  static RoundLaunch round_launch(const WeightMatrix& w, const RoundOptions& options) {
    return {w.out,   w.in,   static_cast<int>(options.group_size), static_cast<float>(options.levels), nullptr,
            nullptr, nullptr};
  }
  void second_order(const RoundLaunch& launch, const DeviceArray<float>& w, const CudaMoment& h,
                    const RoundOptions& options, Rounded& rounded);
  void descend(const RoundLaunch& launch, const DeviceArray<float>& w, const DeviceArray<float>& h,
               const RoundOptions& options, double extra);

  CudaContext context_;
  CudaDeviceOptions options_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<WeightFactory> factory_;
};

double CudaDevice::measure_rate() {
  constexpr int64_t kSize = 4096;
  DeviceArray<float> a(context_, kSize * kSize), c(context_, kSize * kSize);
  a.zero();
  double best = 0.0;
  for (int run = 0; run < 4; ++run) {
    context_.synchronize();
    const auto begin = std::chrono::steady_clock::now();
    cuda_gemm(context_, false, true, kSize, kSize, kSize, 1.0f, a.data(), kSize, a.data(), kSize, 0.0f, c.data(),
              kSize);
    context_.synchronize();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    best = std::max(best, 2.0 * kSize * kSize * kSize / seconds);
  }
  return best * (options_.forward == CudaProducts::kSplit3 ? kShareOfPeakSplit : kShareOfPeak);
}

std::unique_ptr<Linear> CudaDevice::make_linear(const Paro4Weight& weight) {
  const int64_t count = weight.out * weight.in;
  const DeviceRotation<double> rotation(context_, *weight.rotation);
  // In double, as dequantize_paro4: the stream then moves with the weights that a reader of the file computes.
  const DeviceArray<double> wide(context_, count);
  launch_dequantize(context_.stream(), upload(context_, weight.codes).data(), upload(context_, weight.zeros).data(),
                    upload(context_, weight.scales).data(), weight.out, weight.in, weight.group_size, wide.data());
  launch_rotate_rows(context_.stream(), wide.data(), weight.out, weight.in, weight.group_size, weight.rotation->rounds,
                     rotation.pairs.data(), rotation.cosine.data(), rotation.sine.data(), true);
  if (!rotation.channel_scales.empty())
    launch_scale_columns(context_.stream(), wide.data(), rotation.channel_scales.data(), weight.out, weight.in, false);
  DeviceValues values(context_, DeviceType::kF32, count);
  launch_narrow(context_.stream(), wide.data(), count, values.f32());
  check("dequantizing");
  return make_cuda_linear(context_, std::move(values), weight.out, weight.in, weight.bias);
}

FitResult CudaDevice::fit(const SharedFit& problem, const PairRounds& pairs, const FitOptions& options) {
  FitResult result;
  result.theta.assign(static_cast<size_t>(pairs.rounds * pairs.in / 2), 0.0f);
  if (pairs.used_rounds == 0) return result;
  const int64_t in = pairs.in;
  const int64_t groups = in / pairs.group_size;
  PARO_CHECK(static_cast<int64_t>(problem.group_energy.size()) == groups);
  if (!pairs.turning.empty()) fail_usage("--pair-fraction: not on a GPU; use --device cpu");
  FitLaunch launch = {};
  std::vector<float> row_weight;
  for (size_t i = 0; i < problem.weights.size(); ++i) {
    row_weight.insert(row_weight.end(), static_cast<size_t>(problem.weights[i]->out), problem.row_weight[i]);
    launch.rows += problem.weights[i]->out;
  }
  const DeviceArray<float> weight(context_, launch.rows * in);
  int64_t row = 0;
  for (const WeightMatrix* w : problem.weights) {
    copy(on_device(*w).values.data(), w->out * in, weight.data() + row * in);
    row += w->out;
  }
  std::vector<double> scale;
  for (const double energy : problem.group_energy) scale.push_back(energy / 12.0);

  const DeviceArray<double> group_scale = upload(context_, scale);
  const DeviceArray<float> weights_of_rows = upload(context_, row_weight);
  const DeviceArray<int16_t> device_pairs = upload(context_, pairs.pairs);
  const int64_t angles = pairs.used_rounds * in / 2;
  DeviceArray<float> theta(context_, angles), sine(context_, angles);
  DeviceArray<double> first(context_, angles), second(context_, angles);
  theta.zero();
  sine.zero();
  first.zero();
  second.zero();
  const DeviceArray<float> cosine = upload(context_, std::vector<float>(static_cast<size_t>(angles), 1.0f));

  launch.group = static_cast<int>(pairs.group_size);
  const int warps = fit_warps(launch.group, static_cast<int>(pairs.used_rounds), context_.shared_bytes());
  PARO_CHECK(warps > 0);
  const int64_t batches = (launch.rows + warps * 32 - 1) / (warps * 32);
  // Two blocks for each multiprocessor, as even as whole batches allow.
  const int64_t wanted = std::max<int64_t>(1, 2 * context_.multiprocessors() / groups);
  launch.slices = static_cast<int>(std::min(batches, wanted));
  launch.weight = weight.data();
  launch.row_weight = weights_of_rows.data();
  launch.in = in;
  launch.rounds = static_cast<int>(pairs.used_rounds);
  launch.levels = static_cast<float>(options.levels);
  launch.pairs = device_pairs.data();
  launch.cosine = cosine.data();
  launch.sine = sine.data();
  const DeviceArray<float> gradients(context_, groups * launch.slices * launch.group * launch.group);
  const DeviceArray<double> losses(context_, groups * launch.slices);
  launch.gradients = gradients.data();
  launch.losses = losses.data();
  const auto total_loss = [&] {
    std::vector<double> parts(static_cast<size_t>(losses.size()));
    losses.to_host(parts.data());
    double total = 0.0;
    for (size_t i = 0; i < parts.size(); ++i) total += scale[i / static_cast<size_t>(launch.slices)] * parts[i];
    return total;
  };

  cuda_check(launch_fit_evaluate(context_.stream(), launch, warps), "evaluating a rotation");
  result.loss_before = total_loss();
  double power1 = 1.0;
  double power2 = 1.0;
  for (int64_t step = 0; step < options.steps; ++step) {
    const double done = static_cast<double>(step) / static_cast<double>(options.steps);
    const double wave = 0.5 * (1.0 + std::cos(std::numbers::pi * done));
    power1 *= options.beta1;
    power2 *= options.beta2;
    const AdamStep adam = {options.learning_rate * (options.final_rate + (1.0 - options.final_rate) * wave),
                           options.beta1,
                           options.beta2,
                           options.epsilon,
                           1.0 - power1,
                           1.0 - power2};
    cuda_check(
        launch_fit_step(context_.stream(), launch, group_scale.data(), adam, theta.data(), first.data(), second.data()),
        "a step of the rotation fit");
    cuda_check(launch_fit_evaluate(context_.stream(), launch, warps), "evaluating a rotation");
  }
  result.loss_after = total_loss();
  std::vector<float> fitted(static_cast<size_t>(angles));
  theta.to_host(fitted.data());
  std::transform(fitted.begin(), fitted.end(), result.theta.begin(), [](float angle) {
    return static_cast<float>(std::remainder(static_cast<double>(angle), 2.0 * std::numbers::pi));
  });
  return result;
}

void CudaDevice::rotate(SecondMoment& moment, const PairRotation& rotation) {
  PARO_CHECK(moment.n == rotation.in);
  double* h = on_device(moment).h.data();
  const int64_t n = moment.n;
  const DeviceRotation<double> tables(context_, rotation);
  // H R^T, and the same for what is then its transpose.
  for (int side = 0; side < 2; ++side) {
    if (!tables.channel_scales.empty())
      launch_scale_columns(context_.stream(), h, tables.channel_scales.data(), n, n, false);
    launch_rotate_rows(context_.stream(), h, n, n, rotation.group_size, rotation.rounds, tables.pairs.data(),
                       tables.cosine.data(), tables.sine.data(), false);
    if (side == 0) launch_transpose(context_.stream(), h, n);
  }
  check("rotating a moment");
}

Rounded CudaDevice::round(const WeightMatrix& w, const PairRotation& rotation, const SecondMoment* h,
                          const RoundOptions& options) {
  const int64_t groups = w.in / options.group_size;
  PARO_CHECK(w.in % options.group_size == 0 && options.second_order && options.order.empty());
  DeviceArray<float> rotated(context_, w.out * w.in);
  rotated.from_device(on_device(w).values.data());
  const DeviceRotation<float> tables(context_, rotation);
  if (!tables.channel_scales.empty())
    launch_scale_columns(context_.stream(), rotated.data(), tables.channel_scales.data(), w.out, w.in, true);
  launch_rotate_rows(context_.stream(), rotated.data(), w.out, w.in, rotation.group_size, rotation.rounds,
                     tables.pairs.data(), tables.cosine.data(), tables.sine.data(), false);
  check("rotating a weight");

  const DeviceArray<uint8_t> codes(context_, w.out * w.in);
  const DeviceArray<float> scales(context_, w.out * groups), zeros(context_, w.out * groups);
  RoundLaunch launch = round_launch(w, options);
  launch.codes = codes.data();
  launch.scales = scales.data();
  launch.zeros = zeros.data();
  Rounded rounded;
  if (h == nullptr) {
    launch_round_nearest(context_.stream(), launch, rotated.data(), nullptr);
    check("rounding to nearest");
  } else {
    second_order(launch, rotated, on_device(*h), options, rounded);
  }
  rounded.codes.resize(static_cast<size_t>(codes.size()));
  rounded.scales.resize(static_cast<size_t>(scales.size()));
  codes.to_host(rounded.codes.data());
  scales.to_host(rounded.scales.data());
  std::vector<float> zero_values(rounded.scales.size());
  zeros.to_host(zero_values.data());
  for (const float zero : zero_values) rounded.zeros.push_back(static_cast<uint8_t>(zero));
  const auto wrong =
      std::find_if(rounded.scales.begin(), rounded.scales.end(), [](float s) { return !std::isfinite(s); });
  if (wrong != rounded.scales.end())
    fail_input("a scale does not fit into F16 (row {}, group {})", (wrong - rounded.scales.begin()) / groups,
               (wrong - rounded.scales.begin()) % groups);
  return rounded;
}

void CudaDevice::second_order(const RoundLaunch& launch, const DeviceArray<float>& w, const CudaMoment& h,
                              const RoundOptions& options, Rounded& rounded) {
  const int64_t n = launch.in;
  const int64_t g = launch.group;
  const DeviceArray<float> u = inverse_factor_on_device(context_, h, options.damping);
  DeviceArray<float> work(context_, w.size());
  work.from_device(w.data());
  const DeviceArray<float> errors(context_, launch.rows * g);
  for (int64_t group = 0; group < n / g; ++group) {
    cuda_check(launch_round_group(context_.stream(), launch, group, options.clip, work.data(), u.data(), errors.data()),
               "rounding a group");
    const int64_t next = (group + 1) * g;
    if (next < n)
      cuda_gemm(context_, false, false, launch.rows, n - next, g, -1.0f, errors.data(), g,
                u.data() + group * g * n + next, n, 1.0f, work.data() + next, n);
  }
  const DeviceArray<float> plain = narrowed(context_, h);
  descend(launch, w, plain, options, options.damping * mean_diagonal(context_, h));
  launch_rounding_error(context_.stream(), launch, w.data(), work.data());
  check("rounding");
  rounded.loss = quadratic_loss_on_device(context_, work.data(), launch.rows, plain, n);
  rounded.reference = quadratic_loss_on_device(context_, w.data(), launch.rows, plain, n);
}

void CudaDevice::descend(const RoundLaunch& launch, const DeviceArray<float>& w, const DeviceArray<float>& h,
                         const RoundOptions& options, double extra) {
  if (options.sweeps == 0) return;
  const int64_t n = launch.in;
  const int64_t g = launch.group;
  DeviceArray<float> damped(context_, h.size());
  damped.from_device(h.data());
  launch_add_diagonal(context_.stream(), damped.data(), static_cast<float>(extra), n);
  const DeviceArray<float> error(context_, w.size()), slope(context_, w.size()), change(context_, launch.rows * g);
  launch_rounding_error(context_.stream(), launch, w.data(), error.data());
  cuda_gemm(context_, false, false, launch.rows, n, n, 1.0f, error.data(), n, damped.data(), n, 0.0f, slope.data(), n);
  for (int64_t sweep = 0; sweep < options.sweeps; ++sweep)
    for (int64_t group = 0; group < n / g; ++group) {
      cuda_check(launch_descend_group(context_.stream(), launch, group, slope.data(), damped.data(), change.data()),
                 "a descent step");
      cuda_gemm(context_, false, false, launch.rows, n, g, 1.0f, change.data(), g, damped.data() + group * g * n, n,
                1.0f, slope.data(), n);
    }
}

}  // namespace

CudaDeviceOptions cuda_device_options() {
  CudaDeviceOptions options;
  if (const char* forced = std::getenv("PARO_CUDA_PRODUCTS"); forced != nullptr)
    options.forward = options.moments = products_named(forced);
  return options;
}

std::unique_ptr<Device> make_cuda_device(int index, const CudaDeviceOptions& options) {
  return std::make_unique<CudaDevice>(index, options);
}

}  // namespace paro::calib
