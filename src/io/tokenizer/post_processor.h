// The post-processor of tokenizer.json: the special tokens put around an encoded text (BOS, EOS).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

namespace paro::tokenizer {

class PostProcessor {
 public:
  /// `json` is the "post_processor" of tokenizer.json or null. Throws Error{kInput}.
  static PostProcessor from_json(const Json& json, const std::string& place);
  /// Changes the ids of a text in place.
  void apply(std::vector<int32_t>& ids) const;

 private:
  static constexpr int32_t kText = -1;
  void add(const Json& json, const std::string& place, int depth);
  void add_template(const Json& json, const std::string& place);
  std::vector<std::vector<int32_t>> templates_;  // each of ids and kText, where the text goes
};

}  // namespace paro::tokenizer
