#include "train/layer_trainer.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/log.h"
#include "calib/set_quantizer.h"
#include "train/adamw.h"
#include "train/student.h"
#include "train/windows.h"

namespace paro::train {
namespace {

// Rows of one forward and backward pass; a batch of more is summed from several.
constexpr int64_t kCpuRows = 4096;
constexpr int64_t kCudaRows = 32768;

/// A linear that is trained.
struct Student {
  std::string name;
  int set = 0;
  TorchLinear* linear = nullptr;
  int64_t bits = 4;
  size_t rotation = 0;
  at::Tensor weight;       // [out, in], in the linear's own basis
  at::Tensor scale, zero;  // [out, in / g], second stage

  double levels() const { return calib::QuantizeOptions::levels(bits); }
};

struct StageLosses {
  double before = 0.0, after = 0.0;  // held out
};

class LayerTrainer : public calib::LayerQuantizer {
 public:
  LayerTrainer(calib::TrainingTask task, const TorchOptions& options);
  calib::QuantizedLayer quantize(int64_t index) override;
  void replay(int64_t index, const calib::QuantizedLayer& layer) override;
  std::vector<float> logits(int64_t tokens) override;

 private:
  using Rotations = std::vector<std::unique_ptr<InputRotation>>;

  bool recipe() const { return task_.options.method == calib::Method::kParoQuant; }
  std::unique_ptr<DecoderLayer> load(int64_t index) const;
  /// The linears to train and the rotations of their inputs.
  std::vector<Student> students(DecoderLayer& layer, int64_t index, Rotations& rotations) const;
  /// Trains what `optimizer` holds, with `weigh` putting the weights of a step into the layer; leaves the best state.
  StageLosses train(AdamW& optimizer, const DecoderLayer& layer, const std::function<void()>& weigh, int64_t epochs,
                    uint64_t stream);
  /// Sum of the loss's terms over these windows; with `tokens` > 0 gradients of the sum over `terms`.
  double pass(const DecoderLayer& layer, const std::function<void()>& weigh, const std::vector<int64_t>& windows,
              bool with_gradients);
  double held_out_loss(const DecoderLayer& layer, const std::function<void()>& weigh);
  AdamW make_optimizer() const {
    if (recipe()) return AdamW({.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-10, .decay = 0.01});
    return AdamW({.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8});
  }
  void check_cancel() const {
    if (task_.options.cancel != nullptr && task_.options.cancel->load()) throw calib::Cancelled{};
  }

  calib::TrainingTask task_;
  TorchOptions options_;
  TorchOps ops_;
  WindowRunner runner_;
  int64_t training_, held_out_, windows_at_once_;
  std::unique_ptr<Model> ends_;
  at::Tensor full_, quantized_;  // [windows, seq_len, dim], training first
};

LayerTrainer::LayerTrainer(calib::TrainingTask task, const TorchOptions& options)
    : task_(std::move(task)),
      options_(options),
      ops_(options),
      runner_(ops_, task_.seq_len),
      training_(std::ssize(task_.ids) / task_.seq_len),
      held_out_(std::ssize(task_.held_out) / task_.seq_len),
      windows_at_once_(std::max<int64_t>(1, (options.device.is_cpu() ? kCpuRows : kCudaRows) / task_.seq_len)) {
  TorchWeightFactory factory(options.device);
  ends_ = load_model_ends(task_.config, task_.source, factory);
  std::vector<int32_t> ids = task_.ids;
  ids.insert(ids.end(), task_.held_out.begin(), task_.held_out.end());
  full_ = runner_.embed(*ends_, ids);
  quantized_ = full_.clone();
}

std::unique_ptr<DecoderLayer> LayerTrainer::load(int64_t index) const {
  TorchWeightFactory factory(options_.device);
  return load_layer(task_.config, index, *ends_->rope, task_.source, factory);
}

std::vector<Student> LayerTrainer::students(DecoderLayer& layer, int64_t index, Rotations& rotations) const {
  const calib::QuantizeOptions& o = task_.options;
  std::vector<Student> result;
  for (const LinearSlot& slot : layer.linear_slots()) {
    if (task_.bits.skipped(slot.name)) continue;
    Student student;
    student.name = slot.name;
    student.set = slot.set;
    student.bits = task_.bits(slot.name);
    student.linear = dynamic_cast<TorchLinear*>(slot.weight->get());
    PARO_CHECK(student.linear != nullptr);
    student.weight = student.linear->weight;
    result.push_back(student);
  }
  for (size_t i = 0; i < result.size(); ++i) {
    const Student* same = nullptr;  // an earlier one of the set
    for (size_t j = 0; j < i && same == nullptr; ++j)
      if (result[j].set == result[i].set) same = &result[j];
    if (same != nullptr && o.share_rotations) {
      result[i].rotation = same->rotation;
      continue;
    }
    const bool online = recipe() && task_.online.at(static_cast<size_t>(result[i].set));
    const int64_t in = result[i].linear->in;
    const auto magnitudes = [&] {
      at::Tensor largest = at::zeros({in}, result[i].weight.options());
      for (const Student& other : result)
        if (other.set == result[i].set) largest = at::maximum(largest, other.weight.abs().amax(0));
      return to_host(largest);
    };
    const auto stream = static_cast<uint64_t>(index * 4 + result[i].set);
    const calib::PairRounds pairs = online ? calib::choose_pairs(o, in, stream, magnitudes)
                                           : calib::idle_pairs(in, o.group_size, recipe() ? o.rotations : 0);
    result[i].rotation = rotations.size();
    rotations.push_back(std::make_unique<InputRotation>(pairs, online && o.training.channel_scales, options_.device));
  }
  return result;
}

double LayerTrainer::pass(const DecoderLayer& layer, const std::function<void()>& weigh,
                          const std::vector<int64_t>& windows, bool with_gradients) {
  double total = 0.0;
  const double terms = static_cast<double>(std::ssize(windows) * task_.seq_len * task_.config.dim);
  for (size_t first = 0; first < windows.size(); first += static_cast<size_t>(windows_at_once_)) {
    check_cancel();
    const size_t count = std::min(static_cast<size_t>(windows_at_once_), windows.size() - first);
    const at::Tensor index =
        at::tensor(at::ArrayRef<int64_t>(windows.data() + first, count), at::kLong).to(options_.device);
    weigh();
    const at::Tensor found = runner_.forward(layer, quantized_.index_select(0, index));
    const at::Tensor wanted = full_.index_select(0, index);
    const at::Tensor sum = recipe() ? at::smooth_l1_loss(found, wanted, at::Reduction::Sum)
                                    : at::mse_loss(found, wanted, at::Reduction::Sum);
    total += sum.item<double>();
    if (with_gradients) (sum / terms).backward();
  }
  return total / terms;
}

double LayerTrainer::held_out_loss(const DecoderLayer& layer, const std::function<void()>& weigh) {
  const c10::NoGradGuard no_gradients;
  std::vector<int64_t> windows;
  for (int64_t i = 0; i < held_out_; ++i) windows.push_back(training_ + i);
  return pass(layer, weigh, windows, false);
}

StageLosses LayerTrainer::train(AdamW& optimizer, const DecoderLayer& layer, const std::function<void()>& weigh,
                                int64_t epochs, uint64_t stream) {
  StageLosses losses;
  losses.before = losses.after = held_out_loss(layer, weigh);
  std::vector<at::Tensor> best = optimizer.state();
  const int64_t batch = std::min(task_.options.training.batch, training_);
  const int64_t steps_of_epoch = training_ / batch;
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    const std::vector<int64_t> order =
        shuffled(training_, task_.options.seed, stream * 1000 + static_cast<uint64_t>(epoch));
    double sum = 0.0;
    for (int64_t step = 0; step < steps_of_epoch; ++step) {
      sum += pass(layer, weigh, {order.begin() + step * batch, order.begin() + (step + 1) * batch}, true);
      optimizer.step(static_cast<double>(epoch * steps_of_epoch + step) / static_cast<double>(epochs * steps_of_epoch));
    }
    const double loss = held_out_loss(layer, weigh);
    const double trained = sum / static_cast<double>(steps_of_epoch);
    log_debug("epoch {}: loss {:.4e}, held out {:.4e}", epoch + 1, trained, loss);
    if (!std::isfinite(loss) || !optimizer.finite()) {
      log_warning("training: a loss or parameter is no longer finite in epoch {}; the best state before it is kept",
                  epoch + 1);
      break;
    }
    if (loss >= losses.after) continue;
    losses.after = loss;
    best = optimizer.state();
  }
  optimizer.restore(best);
  return losses;
}

calib::QuantizedLayer LayerTrainer::quantize(int64_t index) {
  const calib::QuantizeOptions& o = task_.options;
  runner_.advance(*load(index), full_, windows_at_once_);
  const auto layer = load(index);
  Rotations rotations;
  std::vector<Student> all = students(*layer, index, rotations);
  calib::QuantizedLayer result;
  for (const LinearSlot& slot : layer->linear_slots())
    if (task_.bits.skipped(slot.name)) result.kept.push_back(slot.name);
  const auto stream = static_cast<uint64_t>(2 * index);
  StageLosses first, second;

  // Stage 1: angles and channel scales; the quantizer follows the rotated weight's range.
  const auto weigh_ranges = [&] {
    for (const auto& rotation : rotations) rotation->prepare();
    for (const Student& s : all) {
      const InputRotation& rotation = *rotations[s.rotation];
      const at::Tensor rotated = rotation.to_rotated(s.weight);
      const GroupRange range = group_range(rotated, o.group_size, s.levels());
      s.linear->weight = rotation.from_rotated(
          fake_quantize(rotated, range.scale, range.zero, s.levels(), ClampGradient::kPassThrough));
    }
  };
  AdamW rotating = make_optimizer();
  for (const auto& rotation : rotations) rotating.add(rotation->parameters(), o.training.rotation_rate);
  first = train(rotating, *layer, weigh_ranges, recipe() && !rotating.state().empty() ? o.training.epochs : 0, stream);
  std::vector<std::shared_ptr<const PairRotation>> stored;
  for (const auto& rotation : rotations) stored.push_back(rotation->store());

  // Stage 2 (EfficientQAT's only one): weights, group scales and zero points; rotations stay as they are stored.
  AdamW finishing = make_optimizer();
  {
    const c10::NoGradGuard no_gradients;
    for (const auto& rotation : rotations) {
      for (at::Tensor parameter : rotation->parameters()) parameter.set_requires_grad(false);
      rotation->prepare();
    }
    for (Student& s : all) {
      const GroupRange range = group_range(rotations[s.rotation]->to_rotated(s.weight), o.group_size, s.levels());
      s.scale = range.scale;
      s.zero = range.zero;
      s.weight = s.weight.clone();
      finishing.add({s.weight}, o.training.weight_rate);
      finishing.add({s.scale, s.zero}, o.training.quantizer_rate);
    }
  }
  const auto weigh_parameters = [&] {
    for (const Student& s : all) {
      const InputRotation& rotation = *rotations[s.rotation];
      s.linear->weight = rotation.from_rotated(
          fake_quantize(rotation.to_rotated(s.weight), s.scale, s.zero, s.levels(), ClampGradient::kTrue));
    }
  };
  second =
      train(finishing, *layer, weigh_parameters, recipe() ? o.training.finish_epochs : o.training.epochs, stream + 1);

  calib::SetReport report;
  for (const Student& s : all) {
    report.linears.push_back(s.name);
    const at::Tensor rotated = rotations[s.rotation]->to_rotated(s.weight.detach());
    result.weights.push_back({s.name, round_to_codes(s.name, rotated, s.scale.detach(), s.zero.detach(), o.group_size,
                                                     s.bits, stored[s.rotation], s.linear->bias)});
    const Paro4Weight& written = result.weights.back().weight;
    s.linear->weight = stored_weight(written, options_.device);
    if (!written.bias.empty()) s.linear->bias = to_device(written.bias, {written.out}, options_.device);
  }
  report.losses.rtn = first.before;
  report.losses.rounded = held_out_loss(*layer, [] {});
  report.losses.fit = first.before > 0.0 ? report.losses.rounded / first.before : 1.0;
  if (!all.empty()) result.sets.push_back(std::move(report));
  runner_.advance(*layer, quantized_, windows_at_once_);
  return result;
}

void LayerTrainer::replay(int64_t index, const calib::QuantizedLayer& quantized) {
  runner_.advance(*load(index), full_, windows_at_once_);
  const auto layer = load(index);
  for (const LinearSlot& slot : layer->linear_slots())
    for (const calib::NamedWeight& named : quantized.weights) {
      if (named.name != slot.name) continue;
      auto* linear = dynamic_cast<TorchLinear*>(slot.weight->get());
      linear->weight = stored_weight(named.weight, options_.device);
      if (!named.weight.bias.empty()) linear->bias = to_device(named.weight.bias, {named.weight.out}, options_.device);
    }
  runner_.advance(*layer, quantized_, windows_at_once_);
}

std::vector<float> LayerTrainer::logits(int64_t tokens) {
  const c10::NoGradGuard no_gradients;
  const OpsScope scope(ops_);
  std::vector<int64_t> rows(static_cast<size_t>(tokens));
  for (int64_t i = 0; i < tokens; ++i) rows[static_cast<size_t>(i)] = i;
  return to_host(TorchOps::value(ends_->logits(ops_, ops_.wrap(quantized_[training_ - 1]), rows)));
}

}  // namespace

std::unique_ptr<calib::LayerQuantizer> make_layer_trainer(calib::TrainingTask task, const TorchOptions& options) {
  return std::make_unique<LayerTrainer>(std::move(task), options);
}

}  // namespace paro::train
