#include "runtime/engine.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/error.h"
#include "base/progress.h"
#include "kernels/int4/int4.h"
#include "model/open_checkpoint.h"
#include "quant/cpu_linear.h"

namespace paro {
namespace {

// Ends of a turn in the formats of the supported families. A chat model that was converted with only its base model's
// EOS in the configs would otherwise talk to itself.
constexpr const char* kEndOfTurn[] = {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<end_of_turn>"};

void add_ids(const Json& value, const std::string& place, int64_t vocab, std::vector<int32_t>& ids) {
  if (value.is_null()) return;
  if (value.is_array()) {
    for (const Json& element : value) {
      if (element.is_array()) fail_input("{}: eos_token_id: expected integers, found a list in the list", place);
      add_ids(element, place, vocab, ids);
    }
    return;
  }
  if (!value.is_number_integer()) {
    fail_input("{}: eos_token_id: expected an integer or a list of them, found {}", place, json_kind(value));
  }
  const auto id = value.get<int64_t>();
  // Some configs name an id behind the vocabulary (or -1) for "none".
  if (id >= 0 && id < vocab) ids.push_back(static_cast<int32_t>(id));
}

std::vector<int32_t> find_eos(const Checkpoint& checkpoint, const ModelConfig& config, const Tokenizer* tokenizer) {
  std::vector<int32_t> ids = config.eos_ids;
  if (checkpoint.generation_config.is_object() && checkpoint.generation_config.contains("eos_token_id")) {
    add_ids(checkpoint.generation_config["eos_token_id"], (checkpoint.path / "generation_config.json").string(),
            config.vocab_size, ids);
  }
  if (tokenizer != nullptr) {
    const auto add = [&](const std::string& token) {
      const auto id = tokenizer->token_to_id(token);
      if (id && *id < config.vocab_size) ids.push_back(*id);
    };
    if (!tokenizer->eos_token().empty()) add(tokenizer->eos_token());
    for (const char* token : kEndOfTurn) {
      const auto id = tokenizer->token_to_id(token);
      if (id && tokenizer->is_special(*id)) add(token);
    }
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

/// What kAuto means for this model.
HeadBits head_bits_of(const ModelConfig& config, const EngineOptions& options) {
  if (options.head_bits != HeadBits::kAuto) return options.head_bits;
  const bool fast = !config.quantization.method.empty() && options.cpu.activations == Activations::kInt8;
  return fast ? HeadBits::k8 : HeadBits::k16;
}

}  // namespace

std::unique_ptr<Engine> Engine::load(const std::string& model, const EngineOptions& options) {
  Checkpoint checkpoint = open_checkpoint(model, {.tokenizer = options.tokenizer}, options.hub);
  const ModelConfig config = parse_model_config(checkpoint.config, checkpoint.config_place());
  std::unique_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<const ChatTemplate> chat_template;
  if (options.tokenizer) {
    tokenizer = checkpoint.make_tokenizer();
    chat_template = checkpoint.make_chat_template();
  }
  std::shared_ptr<Ops> ops = options.ops != nullptr ? options.ops : std::shared_ptr<Ops>(make_cpu_ops(options.cpu));
  std::unique_ptr<PreparedCache> prepared;
  const HeadBits head_bits = head_bits_of(config, options);
  if (!options.prepared.folder.empty() && (!config.quantization.method.empty() || head_bits != HeadBits::k16)) {
    std::string key = prepared_key(checkpoint.weights->files(), kPackedInt4Layout);
    prepared = std::make_unique<PreparedCache>(options.prepared, std::move(key), kPackedInt4Layout);
  }
  const std::unique_ptr<WeightFactory> factory =
      make_cpu_weight_factory(config.quantization, {&thread_pool_of(*ops), prepared.get()});
  std::unique_ptr<Progress> progress;
  int64_t shown = 0;
  const auto start = std::chrono::steady_clock::now();
  auto loaded = Model::load(config, *checkpoint.weights, *factory, [&](int64_t done, int64_t total) {
    // What loads in a moment needs no bar.
    if (!progress && std::chrono::steady_clock::now() - start < std::chrono::milliseconds(500)) return;
    if (!progress) progress = std::make_unique<Progress>("loading", total);
    progress->advance(done - std::exchange(shown, done));
  });
  progress.reset();
  auto engine = std::make_unique<Engine>(std::move(checkpoint), std::move(loaded), std::move(ops), std::move(tokenizer),
                                         std::move(chat_template), options.kv_bits);
  const std::string head_weight = engine->model().head->name + ".weight";
  if (engine->prepare_head(options, prepared.get())) engine->checkpoint().weights->was_read(head_weight);
  engine->prepared_ = std::move(prepared);
  if (engine->prepared_) engine->prepared_->save();
  return engine;
}

bool Engine::prepare_head(const EngineOptions& options, PreparedCache* prepared) {
  const HeadBits bits = head_bits_of(config(), options);
  if (bits == HeadBits::k16) return false;
  ThreadPool& pool = thread_pool_of(*ops_);
  if (bits == HeadBits::k4 && model_->head->in % kRoundedInt4Group != 0) {
    fail_input("{}: a head of 4 bits needs a multiple of {} inputs, found {}", checkpoint_.name, kRoundedInt4Group,
               model_->head->in);
  }
  auto head = bits == HeadBits::k4 ? rounded_to_int4(*model_->head, pool, prepared)
                                   : rounded_to_int8(*model_->head, pool, prepared);
  if (head == nullptr) return false;
  if (options.keep_stored_head) stored_head_ = std::move(model_->head);
  model_->head = std::move(head);
  return true;
}

Engine::Engine(Checkpoint checkpoint, std::unique_ptr<Model> model, std::shared_ptr<Ops> ops,
               std::unique_ptr<const Tokenizer> tokenizer, std::unique_ptr<const ChatTemplate> chat_template,
               KvBits kv_bits)
    : checkpoint_(std::move(checkpoint)),
      ops_(std::move(ops)),
      model_(std::move(model)),
      tokenizer_(std::move(tokenizer)),
      chat_template_(std::move(chat_template)),
      eos_ids_(find_eos(checkpoint_, model_->config, tokenizer_.get())),
      kv_bits_(kv_bits) {}

const Tokenizer& Engine::tokenizer() const {
  if (tokenizer_ == nullptr) fail_input("{}: has no tokenizer", checkpoint_.name);
  return *tokenizer_;
}

const ChatTemplate& Engine::chat_template() const {
  if (chat_template_ == nullptr) {
    fail_input("{}: has no chat template (a base model?); `paro generate` continues plain text", checkpoint_.name);
  }
  return *chat_template_;
}

bool Engine::is_eos(int32_t id) const { return std::binary_search(eos_ids_.begin(), eos_ids_.end(), id); }

SamplingParams Engine::sampling_defaults(const SamplingParams& fallback) const {
  return paro::sampling_defaults(checkpoint_.generation_config, (checkpoint_.path / "generation_config.json").string(),
                                 fallback);
}

void Engine::check_ids(std::span<const int32_t> ids) const {
  const int64_t vocab = config().vocab_size;
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab) {
      fail_input("{}: token id {} is outside the model's vocabulary of {}", checkpoint_.name, id, vocab);
    }
  }
}

Sequence::Sequence(const Engine& engine, int64_t capacity)
    : engine_(engine),
      cache_(engine.make_cache(capacity > 0 ? std::min(capacity, engine.config().context_length())
                                            : engine.config().context_length())),
      logits_(static_cast<size_t>(engine.config().vocab_size)) {
  ids_.reserve(static_cast<size_t>(std::min<int64_t>(cache_->capacity, 1 << 16)));
}

void Sequence::append_cached(std::span<const int32_t> ids) {
  PARO_CHECK(length() + static_cast<int64_t>(ids.size()) <= capacity());
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  cache_->length = length();
}

void Sequence::rewind(int64_t length) {
  PARO_CHECK(length >= 0 && length <= this->length());
  ids_.resize(static_cast<size_t>(length));
  cache_->length = length;
}

int64_t Sequence::keep_common(std::span<const int32_t> ids) {
  PARO_CHECK(!ids.empty());
  const auto end = std::mismatch(ids_.begin(), ids_.end(), ids.begin(), ids.end() - 1).first;
  rewind(end - ids_.begin());
  return length();
}

std::span<const float> Sequence::feed(std::span<const int32_t> ids, const std::atomic<bool>* cancel) {
  PARO_CHECK(!ids.empty() && length() + static_cast<int64_t>(ids.size()) <= capacity());
  Ops& ops = engine_.ops();
  while (!ids.empty()) {
    if (cancel != nullptr && *cancel) return {};
    const auto part = ids.first(std::min(ids.size(), static_cast<size_t>(kPrefillRows)));
    ids = ids.subspan(part.size());
    const auto rows = static_cast<int64_t>(part.size());
    const Segment segment = {cache_.get(), length(), rows};
    const int64_t last = rows - 1;
    const OpsScope scope(ops);
    const Tensor logits = engine_.model().forward(ops, {part, {&segment, 1}}, {&last, ids.empty() ? size_t{1} : 0});
    if (ids.empty()) std::copy_n(logits.f32(), logits_.size(), logits_.begin());
    ids_.insert(ids_.end(), part.begin(), part.end());
  }
  return logits_;
}

}  // namespace paro
