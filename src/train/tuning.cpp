#include "train/tuning.h"

#include <c10/core/GradMode.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "train/adamw.h"
#include "train/coded_layer.h"
#include "train/head_loss.h"
#include "train/windows.h"

namespace paro::train {
namespace {

// Rows that a pass has: enough to keep products busy.
constexpr int64_t kCpuRows = 2048;
constexpr int64_t kCudaRows = 8192;
// Held-out checks over a run.
constexpr int64_t kChecks = 4;
// Learning rate of angles and log channel scales, as a multiple of that of relative changes.
constexpr double kRotationRate = 1.0;

class Tuner {
 public:
  Tuner(const calib::TrainingTask& task, std::vector<calib::QuantizedLayer> layers, TuneLoss loss,
        const TorchOptions& options);
  calib::TunedModel run(int64_t logit_tokens);

 private:
  struct Segment {
    at::Tensor input, output;  // of a layer; the output only where its graph is kept
  };

  /// Normalized hidden states of the unquantized model for all windows, training first: [windows, seq_len, dim].
  void run_teacher();
  at::Tensor normalized(const at::Tensor& x) const;
  /// Behind the last layer; with `segments` each layer's graph (or its input alone) for the way back.
  at::Tensor forward(at::Tensor x, std::vector<Segment>* segments);
  void backward(std::vector<Segment>& segments, at::Tensor gradient);
  /// Sum of the loss over these windows of all; with `train` gradients of its mean over `tokens`.
  double pass(const std::vector<int64_t>& windows, bool train, double tokens);
  double held_out_loss();
  /// Tokens of a window that have a loss.
  double scored() const { return static_cast<double>(task_.seq_len - (loss_ == TuneLoss::kNextToken ? 1 : 0)); }
  void check_cancel() const {
    if (task_.options.cancel != nullptr && task_.options.cancel->load()) throw calib::Cancelled{};
  }

  const calib::TrainingTask& task_;
  TuneLoss loss_;
  TorchOptions options_;
  TorchOps ops_;
  WindowRunner runner_;
  std::vector<int32_t> ids_;  // training, then held out
  int64_t training_, held_out_;
  int64_t windows_at_once_;
  bool keep_graphs_;
  std::unique_ptr<Model> ends_;
  at::Tensor teacher_;
  std::vector<calib::QuantizedLayer> given_;
  std::vector<std::unique_ptr<CodedLayer>> layers_;
};

/// Whether the graphs of all layers may stay in memory for the rows of one pass.
bool graphs_fit(const ModelConfig& c, int64_t rows, at::Device device) {
  if (!device.is_cpu()) return false;
  const double row = 12.0 * static_cast<double>(c.dim) + 6.0 * static_cast<double>(c.heads * c.head_dim) +
                     6.0 * static_cast<double>(c.ffn_dim);
  const double weights = 3.0 * static_cast<double>(c.dim * c.ffn_dim * 3 + 4 * c.dim * c.dim);
  const double memory = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGE_SIZE));
  return 4.0 * static_cast<double>(c.layers) * (row * static_cast<double>(rows) + weights) < memory / 3.0;
}

Tuner::Tuner(const calib::TrainingTask& task, std::vector<calib::QuantizedLayer> layers, TuneLoss loss,
             const TorchOptions& options)
    : task_(task),
      loss_(loss),
      options_(options),
      ops_(options),
      runner_(ops_, task.seq_len),
      ids_(task.ids),
      training_(std::ssize(task.ids) / task.seq_len),
      held_out_(std::ssize(task.held_out) / task.seq_len),
      windows_at_once_(std::max<int64_t>(1, (options.device.is_cpu() ? kCpuRows : kCudaRows) / task.seq_len)),
      keep_graphs_(graphs_fit(task.config, windows_at_once_ * task.seq_len, options.device)),
      given_(std::move(layers)) {
  ids_.insert(ids_.end(), task.held_out.begin(), task.held_out.end());
  TorchWeightFactory factory(options.device);
  ends_ = load_model_ends(task.config, task.source, factory);
  if (loss_ == TuneLoss::kDivergence) run_teacher();
  const bool relative = task.options.method != calib::Method::kEfficientQat;
  for (int64_t i = 0; i < task.config.layers; ++i)
    layers_.push_back(std::make_unique<CodedLayer>(task.config, i, *ends_->rope, task.source,
                                                   given_[static_cast<size_t>(i)], task.options.tuning.parameters,
                                                   relative, options.device));
}

void Tuner::run_teacher() {
  Progress progress("the unquantized model", task_.config.layers);
  teacher_ = runner_.embed(*ends_, ids_);
  for (int64_t i = 0; i < task_.config.layers; ++i) {
    check_cancel();
    TorchWeightFactory factory(options_.device);
    const auto layer = load_layer(task_.config, i, *ends_->rope, task_.source, factory);
    runner_.advance(*layer, teacher_, windows_at_once_);
    progress.advance(1, "");
  }
  const c10::NoGradGuard no_gradients;
  teacher_ = normalized(teacher_);
}

at::Tensor Tuner::normalized(const at::Tensor& x) const {
  const at::Tensor& weight = dynamic_cast<const TorchVector&>(*ends_->final_norm).values;
  return x * (x.square().mean(-1, true) + task_.config.norm_eps).rsqrt() * weight;
}

at::Tensor Tuner::forward(at::Tensor x, std::vector<Segment>* segments) {
  for (const auto& layer : layers_) {
    if (segments == nullptr || !keep_graphs_) {
      const c10::NoGradGuard no_gradients;
      if (segments != nullptr) segments->push_back({x, {}});
      layer->refresh();
      x = runner_.forward(layer->layer(), x);
    } else {
      const at::Tensor input = x.detach().set_requires_grad(true);
      layer->refresh();
      x = runner_.forward(layer->layer(), input);
      segments->push_back({input, x});
      x = x.detach();
    }
  }
  return x;
}

void Tuner::backward(std::vector<Segment>& segments, at::Tensor gradient) {
  for (size_t i = segments.size(); i-- > 0;) {
    Segment segment = segments[i];
    segments[i] = {};
    if (!segment.output.defined()) {
      segment.input = segment.input.detach().set_requires_grad(true);
      layers_[i]->refresh();
      segment.output = runner_.forward(layers_[i]->layer(), segment.input);
    }
    segment.output.backward(gradient);
    gradient = segment.input.grad();
  }
}

double Tuner::pass(const std::vector<int64_t>& windows, bool train, double tokens) {
  double total = 0.0;
  const HeadLoss head(dynamic_cast<const TorchLinear&>(*ends_->head).weight);
  for (size_t first = 0; first < windows.size(); first += static_cast<size_t>(windows_at_once_)) {
    check_cancel();
    const size_t last = std::min(windows.size(), first + static_cast<size_t>(windows_at_once_));
    const std::vector<int64_t> some(windows.begin() + static_cast<int64_t>(first),
                                    windows.begin() + static_cast<int64_t>(last));
    std::vector<int32_t> ids;
    std::vector<int64_t> next;
    for (const int64_t window : some) {
      const auto begin = ids_.begin() + window * task_.seq_len;
      ids.insert(ids.end(), begin, begin + task_.seq_len);
      next.insert(next.end(), begin + 1, begin + task_.seq_len);
      next.push_back(-1);
    }
    std::vector<Segment> segments;
    const at::Tensor hidden =
        forward(runner_.embed(*ends_, ids), train ? &segments : nullptr).detach().set_requires_grad(train);
    const at::Tensor last_states = normalized(hidden);
    const at::Tensor rows = last_states.detach().view({-1, task_.config.dim});
    at::Tensor gradient;
    if (train) gradient = at::zeros_like(rows);
    if (loss_ == TuneLoss::kDivergence) {
      const at::Tensor index = at::tensor(some, at::kLong).to(teacher_.device());
      total += head.divergence(teacher_.index_select(0, index).view(rows.sizes()), rows, train ? &gradient : nullptr);
    } else {
      const at::Tensor index = at::tensor(next, at::kLong).to(options_.device);
      total += head.next_token(rows, index, train ? &gradient : nullptr);
    }
    if (!train) continue;
    last_states.backward(gradient.div_(tokens).view(hidden.sizes()));
    backward(segments, hidden.grad());
  }
  return total;
}

double Tuner::held_out_loss() {
  std::vector<int64_t> windows;
  for (int64_t i = 0; i < held_out_; ++i) windows.push_back(training_ + i);
  return pass(windows, false, 1.0) / (scored() * static_cast<double>(held_out_));
}

calib::TunedModel Tuner::run(int64_t logit_tokens) {
  const calib::Tuning& settings = task_.options.tuning;
  const auto start = std::chrono::steady_clock::now();
  AdamW optimizer({.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-10});
  for (const auto& layer : layers_) {
    optimizer.add(layer->changes(), settings.rate);
    optimizer.add(layer->rotation_parameters(), settings.rate * kRotationRate);
  }
  const double before = held_out_loss();
  double best = before;
  std::vector<at::Tensor> kept = optimizer.state();
  const int64_t batch = std::min(settings.batch, training_);
  const int64_t steps_of_epoch = training_ / batch;
  const int64_t steps = steps_of_epoch * settings.epochs;
  Json checks = Json::array();
  Progress progress("tuning end to end", steps);
  log_info("end to end: held-out loss {:.4f}", before);
  std::vector<int64_t> order;
  int64_t since = 0;
  double sum = 0.0;
  for (int64_t step = 0; step < steps; ++step) {
    const int64_t within = step % steps_of_epoch;
    if (within == 0) order = shuffled(training_, task_.options.seed, static_cast<uint64_t>(step / steps_of_epoch));
    const std::vector<int64_t> windows(order.begin() + within * batch, order.begin() + (within + 1) * batch);
    const double tokens = scored() * static_cast<double>(batch);
    sum += pass(windows, true, tokens) / tokens;
    ++since;
    optimizer.step(static_cast<double>(step) / static_cast<double>(steps));
    const bool check = (step + 1) * kChecks / steps != step * kChecks / steps;
    std::string note = fmt::format("loss {:.4f}", sum / static_cast<double>(since));
    if (check) {
      const double loss = held_out_loss();
      checks.push_back({{"step", step + 1}, {"training", sum / static_cast<double>(since)}, {"held_out", loss}});
      log_info("step {} of {}: loss {:.4f}, held out {:.4f}", step + 1, steps, sum / static_cast<double>(since), loss);
      sum = 0.0;
      since = 0;
      if (std::isfinite(loss) && loss < best) {
        best = loss;
        kept = optimizer.state();
      }
      if (!std::isfinite(loss)) break;
    }
    progress.advance(1, note);
  }
  optimizer.restore(kept);

  calib::TunedModel result;
  const bool better = best < before;
  if (!better) log_warning("end-to-end tuning found nothing better on the held-out windows: the model stays as it was");
  for (size_t i = 0; i < layers_.size(); ++i) {
    calib::QuantizedLayer tuned = layers_[i]->store();
    result.layers.push_back(std::move(tuned));
  }
  const c10::NoGradGuard no_gradients;
  const auto last = ids_.begin() + (training_ - 1) * task_.seq_len;
  WindowRunner short_runner(ops_, logit_tokens);
  at::Tensor x = short_runner.embed(*ends_, std::vector<int32_t>(last, last + logit_tokens));
  for (const auto& layer : layers_) x = short_runner.forward(layer->layer(), x);
  result.logits = to_host(
      at::linear(normalized(x).view({logit_tokens, -1}), dynamic_cast<const TorchLinear&>(*ends_->head).weight));
  result.report = {{"loss_before", before},
                   {"loss_after", best},
                   {"steps", steps},
                   {"checks", checks},
                   {"seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()}};
  return result;
}

}  // namespace

calib::TunedModel tune_end_to_end(const calib::TrainingTask& task, std::vector<calib::QuantizedLayer> layers,
                                  int64_t logit_tokens, TuneLoss loss, const TorchOptions& options) {
  return Tuner(task, std::move(layers), loss, options).run(logit_tokens);
}

}  // namespace paro::train
