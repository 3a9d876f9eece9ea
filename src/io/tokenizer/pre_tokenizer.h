// The pre-tokenizers of tokenizer.json: how a text is cut into words before BPE, each of which is encoded on its own.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "io/tokenizer/normalizer.h"
#include "io/tokenizer/splitters.h"

namespace paro::tokenizer {

/// What happens to the matches of a split.
enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

/// Takes the words one by one.
class WordSink {
 public:
  virtual ~WordSink() = default;
  virtual void word(std::string_view text) = 0;
};

class PreTokenizer {
 public:
  /// `json` is the "pre_tokenizer" of tokenizer.json or null. Throws Error{kInput}.
  static PreTokenizer from_json(const Json& json, const std::string& place);

  /// Cuts `text` (valid UTF-8). `at_start` says whether it begins where the whole input begins.
  void run(std::string_view text, bool at_start, WordSink& sink) const;

  /// True when the last step is ByteLevel: words are then bytes as they are, and the vocabulary must be read as bytes.
  bool byte_level() const { return byte_level_; }

 private:
  struct Step;

  void add(const Json& json, const std::string& place, int depth);
  void add_step(Step step);
  void run_from(size_t step, std::string_view text, bool at_start, WordSink& sink) const;
  void split(size_t step, std::string_view text, bool at_start, WordSink& sink) const;

  std::vector<std::shared_ptr<const Step>> steps_;
  bool byte_level_ = false;
};

}  // namespace paro::tokenizer
