#include "io/tokenizer/splitters.h"

#include <utility>

namespace paro::tokenizer {

std::optional<Splitter> find_splitter(std::string_view pattern) {
  static constexpr std::pair<std::string_view, Splitter> kKnown[] = {
      {kGpt2Pattern, Splitter::kGpt2},
      {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       Splitter::kLlama3},
      {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       Splitter::kQwen2},
      {"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
       "?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
       Splitter::kDeepSeek},
      {R"(\p{N}{1,3})", Splitter::kDigitsThree},
      {"[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", Splitter::kHanAndKana},
  };
  for (const auto& [known, splitter] : kKnown)
    if (known == pattern) return splitter;
  return std::nullopt;
}

}  // namespace paro::tokenizer
