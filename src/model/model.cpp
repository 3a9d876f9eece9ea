#include "model/model.h"

#include "base/error.h"
#include "model/families/registry.h"

namespace paro {
namespace {

std::unique_ptr<Linear> load_head(const ModelConfig& config, const WeightSource& source, WeightFactory& factory) {
  // As in transformers, tied wins over a head that a file also holds.
  const std::string name = config.tied_embeddings ? "model.embed_tokens" : "lm_head";
  if (!config.tied_embeddings && !source.has("lm_head.weight") && !source.has("lm_head.qweight"))
    fail_input("{}: tensor \"lm_head.weight\" is missing, and \"tie_word_embeddings\" is not true in the config",
               source.place("lm_head.weight"));
  return factory.linear(source, name, config.vocab_size, config.dim, false);
}

void check_batch(const ModelConfig& config, const Batch& batch) {
  int64_t rows = 0;
  for (const Segment& segment : batch.segments) {
    PARO_CHECK(segment.cache != nullptr && segment.rows > 0 && segment.start >= 0);
    PARO_CHECK(segment.start + segment.rows <= segment.cache->capacity);
    rows += segment.rows;
  }
  PARO_CHECK(rows == batch.rows() && rows > 0);
  for (const int32_t id : batch.ids)
    if (id < 0 || id >= config.vocab_size)
      fail_input("token id {} is outside the model's vocabulary (0 to {})", id, config.vocab_size - 1);
}

/// Final norm and head of every row of x.
Tensor project(const Model& model, Ops& ops, Tensor x, const Linear& head) {
  return ops.linear(ops.rms_norm(x, *model.final_norm, static_cast<float>(model.config.norm_eps)), head);
}

}  // namespace

std::unique_ptr<Model> load_model_ends(const ModelConfig& config, const WeightSource& source, WeightFactory& factory) {
  auto model = std::make_unique<Model>();
  model->config = config;
  model->rope = std::make_unique<Rope>(config.rope, config.head_dim, config.max_positions);
  model->embedding = factory.embedding(source, "model.embed_tokens", config.vocab_size, config.dim);
  model->final_norm = factory.vector(source, "model.norm", config.dim);
  model->head = load_head(config, source, factory);
  return model;
}

std::unique_ptr<DecoderLayer> load_layer(const ModelConfig& config, int64_t index, const Rope& rope,
                                         const WeightSource& source, WeightFactory& factory) {
  PARO_CHECK(index >= 0 && index < config.layers);
  return require_family(config.family, "config").layer({config, index, rope, source, factory});
}

std::unique_ptr<Model> Model::load(const ModelConfig& config, const WeightSource& source, WeightFactory& factory,
                                   const std::function<void(int64_t done, int64_t total)>& progress) {
  const int64_t total = config.layers + 1;
  auto model = load_model_ends(config, source, factory);
  if (progress) progress(1, total);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    model->layers.push_back(load_layer(config, layer, *model->rope, source, factory));
    if (progress) progress(layer + 2, total);
  }
  return model;
}

Tensor Model::logits(Ops& ops, Tensor x, std::span<const int64_t> rows, const Linear* other_head) const {
  return project(*this, ops, ops.gather_rows(x, rows), other_head != nullptr ? *other_head : *head);
}

Tensor Model::forward(Ops& ops, const Batch& batch, std::span<const int64_t> logit_rows) const {
  check_batch(config, batch);
  PARO_CHECK(!layers.empty());
  Tensor x = ops.make(batch.rows(), config.dim);
  embed(ops, batch, x);
  for (size_t layer = 0; layer + 1 < layers.size(); ++layer) layers[layer]->forward(ops, x, batch);

  // After the last attention block only the rows that are asked for matter.
  const bool all_rows = static_cast<int64_t>(logit_rows.size()) == batch.rows();
  if (all_rows) {
    layers.back()->forward(ops, x, batch);
  } else {
    layers.back()->attention_block(ops, x, batch);
  }
  Tensor result = {nullptr, 0, config.vocab_size};
  if (!logit_rows.empty()) {
    x = ops.gather_rows(x, logit_rows);
    if (!all_rows) layers.back()->mlp_block(ops, x, batch);
    result = project(*this, ops, x, *head);
  }
  for (const Segment& segment : batch.segments) segment.cache->length = segment.start + segment.rows;
  return result;
}

}  // namespace paro
