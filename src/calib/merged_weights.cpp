#include "calib/merged_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/dtype.h"
#include "base/error.h"

namespace paro::calib {
namespace {

const char* const kEmbedding = "model.embed_tokens";
const char* const kHead = "lm_head";
const char* const kFinalNorm = "model.norm";

std::vector<float> narrowed(const SquareMatrix& m) { return {m.data.begin(), m.data.end()}; }

LoadedTensor owned(std::vector<float> values, std::vector<int64_t> shape) {
  const auto owner = std::make_shared<const std::vector<float>>(std::move(values));
  return {{DType::kF32, std::move(shape), reinterpret_cast<const std::byte*>(owner->data())}, owner};
}

LoadedTensor owned_f16(const std::vector<float>& values, std::vector<int64_t> shape, const std::string& place,
                       std::string_view name) {
  const auto owner = std::make_shared<std::vector<uint16_t>>(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    (*owner)[i] = f32_to_f16(values[i]);
    if (!std::isfinite(f16_to_f32((*owner)[i])))
      fail_input("{}: tensor \"{}\": expected values that fit into F16 (up to 65504) after merging, found {}", place,
                 name, values[i]);
  }
  return {{DType::kF16, std::move(shape), reinterpret_cast<const std::byte*>(owner->data())}, owner};
}

}  // namespace

MergePlan MergePlan::of(std::vector<RotationPoints> layers) {
  MergePlan plan;
  plan.residual = std::all_of(layers.begin(), layers.end(), [](const auto& layer) { return !layer.readers.empty(); });
  plan.values = std::all_of(layers.begin(), layers.end(), [](const auto& layer) { return !layer.value.empty(); });
  plan.layers = std::move(layers);
  return plan;
}

bool MergePlan::reads_residual(const std::string& linear) const {
  for (const RotationPoints& layer : layers)
    for (const RotationPoints::Reader& reader : layer.readers)
      if (reader.linear == linear) return true;
  return false;
}

bool MergePlan::writes_residual(const std::string& linear) const {
  return std::any_of(layers.begin(), layers.end(), [&](const RotationPoints& layer) {
    return std::find(layer.writers.begin(), layer.writers.end(), linear) != layer.writers.end();
  });
}

bool MergePlan::is_output(const std::string& linear) const {
  return std::any_of(layers.begin(), layers.end(), [&](const RotationPoints& layer) { return layer.output == linear; });
}

MergedWeights::MergedWeights(std::shared_ptr<const WeightSource> source, const ModelConfig& config,
                             const MergePlan& plan, const MergedRotations& rotations, ThreadPool& pool)
    : source_(std::move(source)),
      dim_(config.dim),
      head_dim_(config.head_dim),
      heads_per_value_(config.heads / config.kv_heads),
      pool_(pool) {
  if (plan.residual) {
    residual_ = narrowed(rotations.residual);
    folds_[kEmbedding] = {.origin = kEmbedding, .reads = true, .half = true};
    folds_[kHead] = {
        .origin = config.tied_embeddings ? kEmbedding : kHead, .norm = kFinalNorm, .reads = true, .half = true};
    norms_.push_back(kFinalNorm);
    for (const RotationPoints& layer : plan.layers) {
      for (const auto& [linear, norm] : layer.readers) {
        folds_[linear] = {.origin = linear, .norm = norm, .reads = true};
        norms_.push_back(norm);
      }
      for (const std::string& linear : layer.writers) folds_[linear] = {.origin = linear, .writes = true};
    }
    std::sort(norms_.begin(), norms_.end());
  }
  for (size_t i = 0; i < rotations.values.size(); ++i) {
    std::vector<std::vector<float>>& heads = values_.emplace_back();
    for (const SquareMatrix& head : rotations.values[i]) heads.push_back(narrowed(head));
    for (const std::string& linear : {plan.layers[i].value, plan.layers[i].output})
      folds_.try_emplace(linear, Fold{.origin = linear});
    folds_[plan.layers[i].value].value_layer = static_cast<int64_t>(i);
    folds_[plan.layers[i].output].output_layer = static_cast<int64_t>(i);
  }
  for (TensorInfo info : source_->tensors()) {
    if (plan.residual && info.name == std::string(kHead) + ".weight") continue;
    if (const Fold* fold = fold_of(info.name, ".weight")) info.dtype = fold->half ? DType::kF16 : DType::kF32;
    infos_.push_back(std::move(info));
  }
  if (plan.residual) {
    TensorInfo head = source_->require(folds_[kHead].origin + ".weight");
    head.name = std::string(kHead) + ".weight";
    head.dtype = DType::kF16;
    infos_.push_back(std::move(head));
  }
  std::sort(infos_.begin(), infos_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
}

const MergedWeights::Fold* MergedWeights::fold_of(std::string_view tensor, std::string_view suffix) const {
  if (!tensor.ends_with(suffix)) return nullptr;
  const auto found = folds_.find(tensor.substr(0, tensor.size() - suffix.size()));
  return found == folds_.end() ? nullptr : &found->second;
}

std::string MergedWeights::origin(std::string_view name) const {
  const Fold* fold = fold_of(name, ".weight");
  return fold == nullptr ? std::string(name) : fold->origin + ".weight";
}

LoadedTensor MergedWeights::load(std::string_view name) const {
  const TensorInfo& info = require(name);
  if (const Fold* fold = fold_of(name, ".weight")) {
    std::vector<float> w = folded_weight(*fold);
    return fold->half ? owned_f16(w, info.shape, place(name), name) : owned(std::move(w), info.shape);
  }
  if (const Fold* fold = fold_of(name, ".bias")) return owned(folded_bias(*fold), info.shape);
  if (name.ends_with(".weight") &&
      std::binary_search(norms_.begin(), norms_.end(), std::string(name.substr(0, name.size() - 7))))
    return owned(std::vector<float>(static_cast<size_t>(dim_), 1.0f), info.shape);
  return source_->load(name);
}

std::vector<float> MergedWeights::folded_weight(const Fold& fold) const {
  std::vector<float> w = source_->load_f32(fold.origin + ".weight");
  const std::vector<int64_t>& shape = source_->require(fold.origin + ".weight").shape;
  const int64_t rows = shape.at(0);
  const int64_t columns = shape.at(1);
  if (!fold.norm.empty()) {
    const std::vector<float> norm = source_->load_f32(fold.norm + ".weight");
    PARO_CHECK(std::ssize(norm) == columns);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) w[static_cast<size_t>(r * columns + c)] *= norm[static_cast<size_t>(c)];
  }
  turn_heads(fold, w, columns);
  if (residual_.empty() || !(fold.reads || fold.writes)) return w;
  std::vector<float> turned(w.size());
  if (fold.reads) {
    PARO_CHECK(columns == dim_);
    gemm(false, false, rows, dim_, dim_, 1.0f, w.data(), dim_, residual_.data(), dim_, 0.0f, turned.data(), dim_,
         pool_);
  } else {
    PARO_CHECK(rows == dim_);
    gemm(true, false, dim_, columns, dim_, 1.0f, residual_.data(), dim_, w.data(), columns, 0.0f, turned.data(),
         columns, pool_);
  }
  return turned;
}

/// R2: rows of V and columns of O, head by head.
void MergedWeights::turn_heads(const Fold& fold, std::vector<float>& w, int64_t columns) const {
  const int64_t d = head_dim_;
  const int64_t rows = static_cast<int64_t>(w.size()) / columns;
  if (fold.value_layer >= 0) {
    const std::vector<float> plain = w;
    const auto& heads = values_[static_cast<size_t>(fold.value_layer)];
    PARO_CHECK(std::ssize(heads) * d == rows);
    for (int64_t h = 0; h < std::ssize(heads); ++h)
      gemm(true, false, d, columns, d, 1.0f, heads[static_cast<size_t>(h)].data(), d, plain.data() + h * d * columns,
           columns, 0.0f, w.data() + h * d * columns, columns, pool_);
  }
  if (fold.output_layer >= 0) {
    const std::vector<float> plain = w;
    const auto& heads = values_[static_cast<size_t>(fold.output_layer)];
    PARO_CHECK(std::ssize(heads) * heads_per_value_ * d == columns);
    for (int64_t h = 0; h < columns / d; ++h)
      gemm(false, false, rows, d, d, 1.0f, plain.data() + h * d, columns,
           heads[static_cast<size_t>(h / heads_per_value_)].data(), d, 0.0f, w.data() + h * d, columns, pool_);
  }
}

std::vector<float> MergedWeights::folded_bias(const Fold& fold) const {
  std::vector<float> bias = source_->load_f32(fold.origin + ".bias");
  // A bias is one more column of the weight on the side of the outputs.
  if (fold.value_layer >= 0) turn_heads({.value_layer = fold.value_layer}, bias, 1);
  if (residual_.empty() || !fold.writes) return bias;
  std::vector<float> turned(bias.size());
  gemm(true, false, dim_, 1, dim_, 1.0f, residual_.data(), dim_, bias.data(), 1, 0.0f, turned.data(), 1, pool_);
  return turned;
}

}  // namespace paro::calib
