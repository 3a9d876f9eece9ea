// A decoder-only language model: embedding, layers, final norm, head. Layers are written once per family against Ops;
// this file knows no backend and no quantization.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/weight_source.h"
#include "model/config.h"
#include "model/linear.h"
#include "model/ops.h"

namespace paro {

/// What makes the input of a set of linears, linearly: dividing channel(i) of it by s divides input i of the set by s,
/// and nothing else in the model changes.
struct InputSource {
  std::string name;             // of a norm or of a linear whose outputs are meant, without ".weight"
  bool norm = false;            // its weight is a vector
  int64_t head_dim = 0;         // where heads share a value head; else 0: channel(i) is i
  int64_t heads_per_value = 1;  // query heads that read one value head

  int64_t channel(int64_t input) const {
    return head_dim == 0 ? input : input / head_dim / heads_per_value * head_dim + input % head_dim;
  }
};

/// One linear of a layer, and where the layer keeps it (quantizing replaces it).
struct LinearSlot {
  std::string name;                 // checkpoint name, "model.layers.3.self_attn.q_proj"
  int set = 0;                      // linears with one input share a set; sets in the order of execution
  std::unique_ptr<Linear>* weight;  // inside the layer
  InputSource source = {};          // of the set
};

/// Where orthogonal matrices can be merged into a layer's weights without changing what it computes.
struct RotationPoints {
  /// A linear that reads the residual stream through an RMSNorm that multiplies by a plain weight, and that norm's
  /// name.
  struct Reader {
    std::string linear;
    std::string norm;
  };
  /// All that touches the residual stream: empty where something else does (a norm behind a block, say).
  std::vector<Reader> readers;
  std::vector<std::string> writers;  // linears whose outputs are added to the stream
  /// V and O of attention, where O reads, head by head, nothing but averages of V's outputs; empty otherwise.
  std::string value;
  std::string output;
};

class DecoderLayer {
 public:
  virtual ~DecoderLayer() = default;
  /// x += attention(norm(x)); x [rows, dim].
  virtual void attention_block(Ops& ops, Tensor x, const Batch& batch) const = 0;
  /// x += mlp(norm(x)).
  virtual void mlp_block(Ops& ops, Tensor x, const Batch& batch) const = 0;
  virtual void forward(Ops& ops, Tensor x, const Batch& batch) const {
    attention_block(ops, x, batch);
    mlp_block(ops, x, batch);
  }
  /// All linears that quantization may replace. Sets 0 (q, k, v) and 1 (o) belong to the attention block, 2 (gate,
  /// up) and 3 (down) to the MLP block; the last set of a block is the one whose output is added to the residual.
  virtual std::vector<LinearSlot> linear_slots() = 0;
  /// A layer that says nothing has no such points.
  virtual RotationPoints rotation_points() const { return {}; }
};

class Model {
 public:
  /// Parts can be loaded one at a time (quantizing streams layers); load() takes everything.
  static std::unique_ptr<Model> load(const ModelConfig& config, const WeightSource& source, WeightFactory& factory,
                                     const std::function<void(int64_t done, int64_t total)>& progress = {});

  /// Hidden states after the embedding: out [rows, dim].
  void embed(Ops& ops, const Batch& batch, Tensor out) const { ops.embed(*embedding, batch.ids, out); }
  /// Logits [n, vocab] of the given rows of the last layer's output x; by another head where one is given.
  Tensor logits(Ops& ops, Tensor x, std::span<const int64_t> rows, const Linear* other_head = nullptr) const;
  /// embed, all layers and logits of the given rows; appends to the caches (their `length` is advanced).
  /// The result lives in the op set until the caller's enclosing scope ends.
  Tensor forward(Ops& ops, const Batch& batch, std::span<const int64_t> logit_rows) const;

  ModelConfig config;
  std::unique_ptr<Rope> rope;
  std::unique_ptr<Embedding> embedding;
  std::vector<std::unique_ptr<DecoderLayer>> layers;
  std::unique_ptr<Vector> final_norm;
  std::unique_ptr<Linear> head;
};

/// A model without layers: embedding, final norm, head (for layer-by-layer work).
std::unique_ptr<Model> load_model_ends(const ModelConfig& config, const WeightSource& source, WeightFactory& factory);
/// Layer `index` alone; `rope` must outlive it.
std::unique_ptr<DecoderLayer> load_layer(const ModelConfig& config, int64_t index, const Rope& rope,
                                         const WeightSource& source, WeightFactory& factory);

}  // namespace paro
