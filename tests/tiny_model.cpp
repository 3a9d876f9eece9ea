#include "tiny_model.h"

#include <cmath>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <memory>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "base/files.h"
#include "io/safetensors.h"

namespace paro {
namespace {

/// The printable character (UTF-8) that byte-level BPE writes for a byte.
std::string byte_letter(int byte) {
  const auto printable = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
  int code = byte;
  if (!printable(byte)) {
    code = 256;
    for (int b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
  }
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3f))};
}

const std::vector<std::pair<const char*, const char*>> kMerges = {
    {"t", "h"}, {"th", "e"},       {"i", "n"}, {"a", "n"}, {"an", "d"}, {"\xc4\xa0", "the"}, {"e", "r"},   {"o", "n"},
    {"r", "e"}, {"\xc4\xa0", "a"}, {"e", "n"}, {"o", "u"}, {"l", "l"},  {"e", "ll"},         {"ell", "o"}, {"i", "s"}};
const char* const kSpecial[] = {"<|im_start|>", "<|im_end|>", "<|endoftext|>"};

const char* const kTemplate =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

class Writer {
 public:
  explicit Writer(const TinyModel& shape) : shape_(shape), random_(shape.seed) {}

  void matrix(const std::string& name, int64_t out, int64_t in) {
    std::normal_distribution<float> normal(0.0f, shape_.spread / std::sqrt(static_cast<float>(in)));
    add(name, {out, in}, [&] { return normal(random_); });
  }
  void norm(const std::string& name, int64_t dim) {
    std::uniform_real_distribution<float> around_one(0.8f, 1.2f);
    add(name, {dim}, [&] { return around_one(random_); });
  }
  const std::vector<TensorToWrite>& tensors() const { return tensors_; }

 private:
  template <typename Next>
  void add(const std::string& name, std::vector<int64_t> shape, Next next) {
    size_t count = 1;
    for (const int64_t n : shape) count *= static_cast<size_t>(n);
    auto values = std::make_shared<std::vector<uint16_t>>(count);
    for (uint16_t& value : *values) value = f32_to_f16(next());
    tensors_.push_back(
        {name, DType::kF16, std::move(shape), [values](const std::function<void(const void*, size_t)>& sink) {
           sink(values->data(), values->size() * sizeof(uint16_t));
         }});
  }

  const TinyModel& shape_;
  std::mt19937_64 random_;
  std::vector<TensorToWrite> tensors_;
};

Json config_json(const TinyModel& shape) {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", shape.family},
          {"vocab_size", tiny_vocab_size()},
          {"hidden_size", shape.dim},
          {"num_hidden_layers", shape.layers},
          {"num_attention_heads", shape.heads},
          {"num_key_value_heads", shape.kv_heads},
          {"intermediate_size", shape.ffn_dim},
          {"max_position_embeddings", shape.max_positions},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 10000.0},
          {"hidden_act", "silu"},
          {"tie_word_embeddings", shape.tied_embeddings},
          {"torch_dtype", "float16"}};
}

}  // namespace

int64_t tiny_vocab_size() { return 256 + static_cast<int64_t>(kMerges.size() + std::size(kSpecial)); }

Json tiny_tokenizer_json() {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte) vocab[byte_letter(byte)] = byte;
  Json merges = Json::array();
  int id = 256;
  for (const auto& [left, right] : kMerges) {
    vocab[std::string(left) + right] = id++;
    merges.push_back(std::string(left) + " " + right);
  }
  Json added = Json::array();
  for (const char* token : kSpecial) {
    added.push_back({{"id", id++},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level},
          {"post_processor", nullptr},
          {"decoder", byte_level},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"vocab", vocab},
            {"merges", merges}}}};
}

void write_tiny_model(const std::filesystem::path& folder, const TinyModel& shape) {
  make_writable_folder(folder);
  const int64_t vocab = tiny_vocab_size();
  write_file(folder / "config.json", config_json(shape).dump(2));
  write_file(folder / "generation_config.json", Json{{"eos_token_id", vocab - 2}, {"bos_token_id", vocab - 1}}.dump(2));
  write_file(folder / "tokenizer.json", tiny_tokenizer_json().dump(1));
  write_file(folder / "tokenizer_config.json",
             Json{{"bos_token", "<|endoftext|>"}, {"eos_token", "<|im_end|>"}, {"chat_template", kTemplate}}.dump(2));
  Writer writer(shape);
  const int64_t head_dim = shape.dim / shape.heads;
  writer.matrix("model.embed_tokens.weight", vocab, shape.dim);
  for (int64_t i = 0; i < shape.layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    writer.norm(layer + "input_layernorm.weight", shape.dim);
    writer.matrix(layer + "self_attn.q_proj.weight", shape.heads * head_dim, shape.dim);
    writer.matrix(layer + "self_attn.k_proj.weight", shape.kv_heads * head_dim, shape.dim);
    writer.matrix(layer + "self_attn.v_proj.weight", shape.kv_heads * head_dim, shape.dim);
    writer.matrix(layer + "self_attn.o_proj.weight", shape.dim, shape.heads * head_dim);
    writer.norm(layer + "post_attention_layernorm.weight", shape.dim);
    writer.matrix(layer + "mlp.gate_proj.weight", shape.ffn_dim, shape.dim);
    writer.matrix(layer + "mlp.up_proj.weight", shape.ffn_dim, shape.dim);
    writer.matrix(layer + "mlp.down_proj.weight", shape.dim, shape.ffn_dim);
  }
  writer.norm("model.norm.weight", shape.dim);
  if (!shape.tied_embeddings) writer.matrix("lm_head.weight", vocab, shape.dim);
  write_safetensors(folder / "model.safetensors", writer.tensors());
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "paro-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace paro
