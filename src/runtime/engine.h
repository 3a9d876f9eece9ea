// A model that is ready to run: checkpoint, tokenizer, chat template, weights and the op set, loaded once; and one
// sequence in it. Several sequences may share an engine and a step (Batch has segments); one step runs at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backends/cpu/cpu_ops.h"
#include "io/checkpoint.h"
#include "io/hub.h"
#include "io/prepared_cache.h"
#include "model/model.h"
#include "runtime/sampler.h"

namespace paro {

/// What the output head is multiplied in. Every token reads all of it: in 16 bits it is half of what a small 4-bit
/// model reads, and 8 bits with a scale for each output cost no quality that can be measured beside 4-bit weights.
enum class HeadBits {
  kAuto,  // 8 for a quantized model with int8 activations, else as stored
  k4,     // groups of 32; costs quality that shows (docs/benchmarks.md)
  k8,
  k16,  // as stored
};

struct EngineOptions {
  CpuOptions cpu;
  HubOptions hub;
  PreparedOptions prepared;  // where packed weights are kept for the next start; by default nowhere
  bool tokenizer = true;     // false: ids only
  HeadBits head_bits = HeadBits::kAuto;
  bool keep_stored_head = false;  // beside a rounded one: Engine::stored_head()
  KvBits kv_bits = KvBits::k16;   // of the sequences' caches
  std::shared_ptr<Ops> ops;       // of another engine, to share its threads; null: own ones from `cpu`
};

class Engine {
 public:
  /// Opens `model` (folder, GGUF file or hub id) and loads everything. Progress goes through base/progress.h.
  static std::unique_ptr<Engine> load(const std::string& model, const EngineOptions& options);
  /// From parts that are there already (tests, random weights); the tokenizer and template may be null.
  Engine(Checkpoint checkpoint, std::unique_ptr<Model> model, std::shared_ptr<Ops> ops,
         std::unique_ptr<const Tokenizer> tokenizer, std::unique_ptr<const ChatTemplate> chat_template,
         KvBits kv_bits = KvBits::k16);

  const ModelConfig& config() const { return model_->config; }
  const Checkpoint& checkpoint() const { return checkpoint_; }
  const Model& model() const { return *model_; }
  Ops& ops() const { return *ops_; }
  const std::shared_ptr<Ops>& shared_ops() const { return ops_; }
  /// Throws Error{kInput} when there is none.
  const Tokenizer& tokenizer() const;
  const ChatTemplate& chat_template() const;
  KvBits kv_bits() const { return kv_bits_; }
  /// A cache for one sequence of `capacity` positions; errors as make_cpu_cache.
  std::unique_ptr<KvCache> make_cache(int64_t capacity) const { return make_cpu_cache(config(), capacity, kv_bits_); }
  bool has_chat_template() const { return chat_template_ != nullptr; }
  /// Where the model ends an answer: generation_config.json, config.json, the tokenizer's EOS and its end-of-turn
  /// tokens.
  const std::vector<int32_t>& eos_ids() const { return eos_ids_; }
  bool is_eos(int32_t id) const;
  /// Rounds the model's head as `options` say; true when that was done. Engine::load does it. Error{kInput} when the
  /// head's shape does not allow it.
  bool prepare_head(const EngineOptions& options, PreparedCache* prepared = nullptr);
  /// The head before it was rounded; null when it was not, or EngineOptions did not ask to keep it.
  const Linear* stored_head() const { return stored_head_.get(); }
  /// The sampling settings of generation_config.json, `fallback` where it says nothing.
  SamplingParams sampling_defaults(const SamplingParams& fallback) const;
  /// Ids inside the vocabulary, else Error{kInput}.
  void check_ids(std::span<const int32_t> ids) const;

 private:
  Checkpoint checkpoint_;
  std::shared_ptr<Ops> ops_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Linear> stored_head_;
  std::unique_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<const ChatTemplate> chat_template_;
  std::vector<int32_t> eos_ids_;
  KvBits kv_bits_;
  std::unique_ptr<PreparedCache> prepared_;  // last, so that it goes first: it may still be writing the weights
};

/// Rows of one prefill step: long enough for the kernels, short enough that a cancel is noticed.
constexpr int64_t kPrefillRows = 512;

/// One sequence of tokens and its cache.
class Sequence {
 public:
  /// Room for `capacity` positions; 0: the model's own limit.
  explicit Sequence(const Engine& engine, int64_t capacity = 0);

  /// The ids whose keys and values are in the cache.
  std::span<const int32_t> ids() const { return ids_; }
  int64_t length() const { return static_cast<int64_t>(ids_.size()); }
  int64_t capacity() const { return cache_->capacity; }
  KvCache& cache() { return *cache_; }

  /// Takes `ids` as fed: the caller has written their keys and values to cache() itself.
  void append_cached(std::span<const int32_t> ids);
  /// Forgets everything behind the first `length` positions.
  void rewind(int64_t length);
  /// Rewinds to what `ids` and the cache have in common, but for the last of `ids` (its logits are wanted); returns
  /// the length kept.
  int64_t keep_common(std::span<const int32_t> ids);
  /// Runs `ids` (not empty, room must be there) and returns the logits [vocab] after the last, valid until the next
  /// call. Stops between steps when `cancel` is set, with an empty result.
  std::span<const float> feed(std::span<const int32_t> ids, const std::atomic<bool>* cancel = nullptr);

 private:
  const Engine& engine_;
  std::unique_ptr<KvCache> cache_;
  std::vector<int32_t> ids_;
  std::vector<float> logits_;
};

}  // namespace paro
