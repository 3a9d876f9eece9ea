#include "model/random_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <utility>

#include "base/dtype.h"
#include "base/error.h"

namespace paro {
namespace {

struct Shape {
  const char* name;
  const char* family;
  int64_t dim, layers, heads, kv_heads, head_dim, ffn, vocab, positions;
  double theta;
  bool tied;
};

constexpr Shape kShapes[] = {
    {"smollm2-135m", "llama", 576, 30, 9, 3, 64, 1536, 49152, 8192, 1e5, true},
    {"smollm2-360m", "llama", 960, 32, 15, 5, 64, 2560, 49152, 8192, 1e5, true},
    {"smollm2-1.7b", "llama", 2048, 24, 32, 32, 64, 8192, 49152, 8192, 1.3e5, true},
    {"llama-3.2-1b", "llama", 2048, 16, 32, 8, 64, 8192, 128256, 131072, 5e5, true},
    {"llama-3.2-3b", "llama", 3072, 28, 24, 8, 128, 8192, 128256, 131072, 5e5, true},
    {"llama-3.1-8b", "llama", 4096, 32, 32, 8, 128, 14336, 128256, 131072, 5e5, false},
    {"llama-3.1-70b", "llama", 8192, 80, 64, 8, 128, 28672, 128256, 131072, 5e5, false},
    {"qwen3-0.6b", "qwen3", 1024, 28, 16, 8, 128, 3072, 151936, 40960, 1e6, true},
    {"qwen3-1.7b", "qwen3", 2048, 28, 16, 8, 128, 6144, 151936, 40960, 1e6, true},
    {"qwen3-4b", "qwen3", 2560, 36, 32, 8, 128, 9728, 151936, 40960, 1e6, true},
    {"qwen3-8b", "qwen3", 4096, 36, 32, 8, 128, 12288, 151936, 40960, 1e6, false},
    {"qwen3-14b", "qwen3", 5120, 40, 40, 8, 128, 17408, 151936, 40960, 1e6, false},
};
constexpr int64_t kRotations = 8;

/// splitmix64: a start for each tensor, numbers good enough for speed.
class Random {
 public:
  explicit Random(uint64_t state) : state_(state) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  /// Uniform in [-1, 1).
  float unit() { return static_cast<float>(static_cast<int32_t>(next() >> 32)) * 0x1p-31f; }

 private:
  uint64_t state_;
};

uint64_t hash(const std::string& text, uint64_t seed) {
  for (const char c : text) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return seed;
}

using Bytes = std::vector<std::byte>;
using Fill = std::function<void(Random&, Bytes&)>;

template <typename T>
void fill_with(Bytes& bytes, const std::function<T()>& next) {
  for (size_t at = 0; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
    const T value = next();
    std::memcpy(bytes.data() + at, &value, sizeof value);
  }
}

/// Uniform f16 in middle +- spread. Four numbers of 16 bits from each random word: a large model has billions.
Fill halves(float middle, float spread) {
  return [=](Random& random, Bytes& bytes) {
    std::vector<uint16_t> table(4096);
    for (size_t i = 0; i < table.size(); ++i) {
      table[i] = f32_to_f16(middle + spread * (static_cast<float>(i) / 2047.5f - 1.0f));
    }
    uint64_t word = 0;
    int left = 0;
    for (size_t at = 0; at + 2 <= bytes.size(); at += 2) {
      if (left == 0) {
        word = random.next();
        left = 5;
      }
      std::memcpy(bytes.data() + at, &table[word & 4095], 2);
      word >>= 12;
      --left;
    }
  };
}

void any_bits(Random& random, Bytes& bytes) {
  fill_with<uint32_t>(bytes, [&] { return static_cast<uint32_t>(random.next()); });
}

/// Zero points 7 and 8.
void middle_zeros(Random& random, Bytes& bytes) {
  fill_with<uint32_t>(bytes, [&] { return 0x77777777u + (static_cast<uint32_t>(random.next()) & 0x11111111u); });
}

/// A random perfect matching of every group, lower channel first.
Fill matchings(int64_t group) {
  return [group](Random& random, Bytes& bytes) {
    std::vector<int16_t> order(static_cast<size_t>(group));
    for (size_t at = 0; at < bytes.size(); at += order.size() * sizeof(int16_t)) {
      for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int16_t>(i);
      for (size_t i = order.size() - 1; i > 0; --i) std::swap(order[i], order[random.next() % (i + 1)]);
      for (size_t i = 0; i < order.size(); i += 2) {
        if (order[i] > order[i + 1]) std::swap(order[i], order[i + 1]);
      }
      std::memcpy(bytes.data() + at, order.data(), order.size() * sizeof(int16_t));
    }
  };
}

class RandomWeights : public WeightSource {
 public:
  RandomWeights(const ModelConfig& config, uint64_t seed) : quantization_(config.quantization), seed_(seed) {
    const int64_t q = config.heads * config.head_dim;
    const int64_t kv = config.kv_heads * config.head_dim;
    dense("model.embed_tokens", config.vocab_size, config.dim);
    norm("model.norm", config.dim);
    if (!config.tied_embeddings) dense("lm_head", config.vocab_size, config.dim);
    for (int64_t i = 0; i < config.layers; ++i) {
      const std::string layer = fmt::format("model.layers.{}.", i);
      norm(layer + "input_layernorm", config.dim);
      norm(layer + "post_attention_layernorm", config.dim);
      if (config.head_norm) {
        norm(layer + "self_attn.q_norm", config.head_dim);
        norm(layer + "self_attn.k_norm", config.head_dim);
      }
      linear(layer + "self_attn.q_proj", layer + "qkv", q, config.dim, config.qkv_bias);
      linear(layer + "self_attn.k_proj", layer + "qkv", kv, config.dim, config.qkv_bias);
      linear(layer + "self_attn.v_proj", layer + "qkv", kv, config.dim, config.qkv_bias);
      linear(layer + "self_attn.o_proj", layer + "o", config.dim, q, config.o_bias);
      linear(layer + "mlp.gate_proj", layer + "gate_up", config.ffn_dim, config.dim, config.mlp_bias);
      linear(layer + "mlp.up_proj", layer + "gate_up", config.ffn_dim, config.dim, config.mlp_bias);
      linear(layer + "mlp.down_proj", layer + "down", config.dim, config.ffn_dim, config.mlp_bias);
    }
    std::sort(infos_.begin(), infos_.end(), [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  }

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  LoadedTensor load(std::string_view name) const override {
    const TensorInfo& info = require(name);
    const Recipe& recipe = recipes_.at(info.name);
    const auto bytes = std::make_shared<Bytes>(static_cast<size_t>(info.stored_bytes));
    Random random(hash(recipe.seed_name, seed_));
    recipe.fill(random, *bytes);
    return {{info.dtype, info.shape, bytes->data()}, bytes};
  }
  std::string place(std::string_view) const override { return "random weights"; }

 private:
  struct Recipe {
    std::string seed_name;  // tensors with one name here hold the same values
    Fill fill;
  };

  void add(const std::string& name, const std::string& seed_name, DType dtype, std::vector<int64_t> shape, Fill fill) {
    TensorInfo info{name, dtype, std::move(shape), dtype_size(dtype), std::string(dtype_name(dtype))};
    for (const int64_t n : info.shape) info.stored_bytes *= n;
    infos_.push_back(std::move(info));
    recipes_[name] = {seed_name, std::move(fill)};
  }
  void norm(const std::string& name, int64_t dim) {
    add(name + ".weight", name, DType::kF16, {dim}, halves(1.0f, 0.1f));
  }
  void dense(const std::string& name, int64_t out, int64_t in) {
    add(name + ".weight", name, DType::kF16, {out, in}, halves(0.0f, 1.7f / std::sqrt(static_cast<float>(in))));
  }
  void linear(const std::string& name, const std::string& input, int64_t out, int64_t in, bool bias) {
    if (bias) add(name + ".bias", name + ".bias", DType::kF16, {out}, halves(0.0f, 0.1f));
    if (quantization_.bits == 0) {
      dense(name, out, in);
      return;
    }
    const int64_t group = quantization_.group_size;
    const int64_t rounds = quantization_.rotations;
    // Codes spread 4.6 steps around the zero point.
    const float scale = 0.2f / std::sqrt(static_cast<float>(in));
    add(name + ".qweight", name + ".qweight", DType::kI32, {in, out / 8}, any_bits);
    add(name + ".qzeros", name + ".qzeros", DType::kI32, {in / group, out / 8}, middle_zeros);
    add(name + ".scales", name + ".scales", DType::kF16, {in / group, out}, halves(scale, 0.2f * scale));
    add(name + ".theta", input + ".theta", DType::kF16, {rounds, in / 2}, halves(0.0f, 0.7f));
    add(name + ".pairs", input + ".pairs", DType::kI16, {rounds, in}, matchings(group));
    add(name + ".channel_scales", input + ".channel_scales", DType::kF16, {1, in}, halves(1.0f, 0.1f));
  }

  QuantizationConfig quantization_;
  uint64_t seed_;
  std::vector<TensorInfo> infos_;
  std::map<std::string, Recipe> recipes_;
};

}  // namespace

std::vector<std::string> random_shape_names() {
  std::vector<std::string> names;
  for (const Shape& shape : kShapes) names.emplace_back(shape.name);
  return names;
}

Json random_shape_config(const std::string& name, RandomFormat format) {
  for (const Shape& s : kShapes) {
    if (name != s.name) continue;
    Json config = {{"model_type", s.family},
                   {"vocab_size", s.vocab},
                   {"hidden_size", s.dim},
                   {"num_hidden_layers", s.layers},
                   {"num_attention_heads", s.heads},
                   {"num_key_value_heads", s.kv_heads},
                   {"head_dim", s.head_dim},
                   {"intermediate_size", s.ffn},
                   {"rms_norm_eps", 1e-6},
                   {"rope_theta", s.theta},
                   {"max_position_embeddings", s.positions},
                   {"tie_word_embeddings", s.tied},
                   {"hidden_act", "silu"}};
    if (format == RandomFormat::kParo4) {
      const int64_t group = s.dim % 128 == 0 && s.ffn % 128 == 0 ? 128 : 64;
      config["quantization_config"] = {
          {"quant_method", "paroquant"}, {"bits", 4}, {"group_size", group}, {"krot", kRotations}};
    }
    return config;
  }
  std::string known;
  for (const Shape& s : kShapes) known += std::string(known.empty() ? "" : ", ") + s.name;
  fail_usage("unknown shape '{}'; known: {}", name, known);
}

std::shared_ptr<const WeightSource> make_random_weights(const ModelConfig& config, uint64_t seed) {
  PARO_CHECK(config.quantization.bits == 0 || config.quantization.bits == 4);
  return std::make_shared<RandomWeights>(config, seed);
}

}  // namespace paro
