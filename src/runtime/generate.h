// The loop that turns a prompt into an answer for one sequence: prefill of what the cache lacks, then token by token
// with sampling, stop rules and streaming.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine.h"
#include "runtime/sampler.h"

namespace paro {

struct GenerateOptions {
  SamplingParams sampling;
  int64_t max_tokens = -1;        // -1: until the model ends or the context is full
  std::vector<std::string> stop;  // stop strings; not part of the answer
  bool ignore_eos = false;
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(std::string_view)> on_text;  // each piece of text that is final, whole characters only
};

enum class FinishReason { kEos, kStopString, kMaxTokens, kContext, kCancelled };
/// "eos", "stop", "length", "context", "cancelled"
std::string_view finish_name(FinishReason reason);

struct GenerateResult {
  std::vector<int32_t> ids;  // the answer's, without the EOS
  std::string text;
  FinishReason finish = FinishReason::kEos;
  int64_t prompt_tokens = 0;
  int64_t reused_tokens = 0;  // of the prompt, from the cache
  double prefill_seconds = 0.0;
  double decode_seconds = 0.0;  // of all tokens but the first, which the prefill gives
  double prefill_rate() const;  // tokens per second; 0 when nothing was run
  double decode_rate() const;
};

/// Continues `prompt`. `sequence` keeps prompt and answer for the next turn. Throws Error{kInput} for an empty prompt,
/// ids outside the vocabulary, or a prompt that does not fit into the sequence's capacity.
GenerateResult generate(const Engine& engine, Sequence& sequence, std::span<const int32_t> prompt,
                        const GenerateOptions& options);

}  // namespace paro
